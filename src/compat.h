/* compat.h: what differs between PostgreSQL 14 and 18, and only that. Include after postgres.h. */
#ifndef EDDH_COMPAT_H
#define EDDH_COMPAT_H

#if PG_VERSION_NUM < 140000
#error "eddh needs PostgreSQL 14 or later"
#endif

#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* Soft errors of input functions came with 16; before, every error is a hard one. */
#if PG_VERSION_NUM < 160000
#define ereturn(context, dummy_value, ...) ereport(ERROR, __VA_ARGS__)
#endif

#endif /* EDDH_COMPAT_H */
