/* identity.c: settings carried from the caller to the worker, and the switch to the caller's role. */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "miscadmin.h"
#include "train/identity.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/syscache.h"

/* Not carried: of a connection, of a transaction, or harmful to a worker that writes its own catalog between the caller's statements. */
static const char *const not_carried[] = {
	"application_name",
	"client_encoding",
	"default_transaction_deferrable",
	"default_transaction_isolation",
	"default_transaction_read_only",
	"idle_in_transaction_session_timeout",
	"idle_session_timeout",
	"lock_timeout",
	"role",
	"search_path",
	"seed",
	"session_authorization",
	"statement_timeout",
	"synchronize_seqscans",
	"transaction_deferrable",
	"transaction_isolation",
	"transaction_read_only",
	"transaction_timeout",
};

static bool
IsCarried(const struct config_generic *setting)
{
	if (setting->context != PGC_USERSET && setting->context != PGC_SUSET)
		return false;
	/* A plain role may have such a setting (by ALTER ROLE), but not look at it. */
	if (setting->flags & GUC_SUPERUSER_ONLY)
		return false;
	/* What comes from the configuration file the worker has read itself. */
	if (setting->source <= PGC_S_ARGV)
		return false;
	for (int i = 0; i < lengthof(not_carried); i++)
		if (strcmp(setting->name, not_carried[i]) == 0)
			return false;
	return true;
}

Datum
IdentityCaptureSettings(void)
{
	int n;
	struct config_generic **settings = EddhSettings(&n);
	Datum *items = palloc(sizeof(Datum) * 2 * (n + 1));
	int n_items = 0;

	for (int i = 0; i < n; i++)
	{
		char *value;

		if (!IsCarried(settings[i]))
			continue;
		value = GetConfigOptionByName(settings[i]->name, NULL, true);
		if (value == NULL)
			continue;
		items[n_items++] = CStringGetTextDatum(settings[i]->name);
		items[n_items++] = CStringGetTextDatum(value);
	}
	return PointerGetDatum(construct_array(items, n_items, TEXTOID, -1, false, TYPALIGN_INT));
}

void
IdentityPlainSettings(void)
{
	static const char *const plain[][2] = {
		{ "default_transaction_isolation", "read committed" },
		{ "default_transaction_read_only", "off" }, /* the submitting transaction could write */
		{ "lock_timeout", "0" },
		{ "statement_timeout", "0" },
		{ "idle_in_transaction_session_timeout", "0" },
		{ "transaction_timeout", "0" }, /* not in every version */
	};

	for (int i = 0; i < lengthof(plain); i++)
		if (GetConfigOptionByName(plain[i][0], NULL, true) != NULL)
			SetConfigOption(plain[i][0], plain[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/* Of a library that may not be loaded here, or was not loaded there. */
static bool
IsForeign(const char *name)
{
	return strchr(name, '.') != NULL && pg_strncasecmp(name, "eddh.", 5) != 0;
}

void
IdentityApplySettings(Datum settings, Oid owner)
{
	Datum *items;
	Oid user;
	int context;
	int n;

	deconstruct_array(DatumGetArrayTypeP(settings), TEXTOID, -1, false, TYPALIGN_INT, &items, NULL, &n);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE);
	for (int i = 0; i + 1 < n; i += 2)
	{
		char *name = TextDatumGetCString(items[i]);

		(void) set_config_option(name, TextDatumGetCString(items[i + 1]),
								 IsForeign(name) && !superuser() ? PGC_USERSET : PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SET, true, LOG, false);
	}
	SetUserIdAndSecContext(user, context);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION);
	/* Rows are read in the order in which they lie, so that the same table gives the same model. */
	SetConfigOption("synchronize_seqscans", "off", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("max_parallel_workers_per_gather", "0", PGC_USERSET, PGC_S_SESSION);
}

void
IdentityBegin(Identity *saved, Oid role)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the role that owns the job no longer exists")));
	GetUserIdAndSecContext(&saved->user, &saved->context);
	SetUserIdAndSecContext(role, saved->context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	saved->nest_level = NewGUCNestLevel();
}

void
IdentityEnd(const Identity *saved)
{
	AtEOXact_GUC(false, saved->nest_level);
	SetUserIdAndSecContext(saved->user, saved->context);
}
