/* identity.h: whose hand it is that touches user data. Include after postgres.h. */
#ifndef EDDH_TRAIN_IDENTITY_H
#define EDDH_TRAIN_IDENTITY_H

/*
 * The settings in force in the caller's session, as a text[] of name, value, name, value, ...: row security policies and views look at them
 * (also at custom ones). Left out: what belongs to a connection or a transaction, and search_path, which is pinned.
 */
extern Datum IdentityCaptureSettings(void);

/* In the worker, first of all: what the configuration says about sessions and transactions does not suit a worker. */
extern void IdentityPlainSettings(void);

/*
 * In the worker, once, outside of a transaction's user code. A setting that this server refuses is skipped with a LOG message. Settings of other
 * libraries are made with the rights of the job's owner: a name that means nothing yet anybody may set, and a library that is loaded later would take
 * the value for a superuser's.
 */
extern void IdentityApplySettings(Datum settings, Oid owner);

typedef struct Identity
{
	Oid user;
	int context;
	int nest_level;
} Identity;

/*
 * From here to IdentityEnd, inside one transaction, everything happens as `role`: privileges, row security, functions. The operation is security-
 * restricted as for REFRESH MATERIALIZED VIEW: no way back to the superuser, nothing left behind that would run later. Settings changed in
 * between are undone. An abort of the transaction restores all that too. 42704 if the role no longer exists.
 */
extern void IdentityBegin(Identity *saved, Oid role);
extern void IdentityEnd(const Identity *saved);

#endif /* EDDH_TRAIN_IDENTITY_H */
