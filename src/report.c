/* report.c: errors of the plain-C rooms to ereport; interrupts during plain-C calls. */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "report.h"

int
EddhErrorSqlState(eddh_code code)
{
	switch (code)
	{
		case EDDH_OK:
			return ERRCODE_SUCCESSFUL_COMPLETION;
		case EDDH_BAD_DATA:
			return ERRCODE_INVALID_BINARY_REPRESENTATION;
		case EDDH_OVER_LIMIT:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case EDDH_UNSUPPORTED:
			return ERRCODE_FEATURE_NOT_SUPPORTED;
		case EDDH_BAD_ARGUMENT:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case EDDH_NO_MEMORY:
			return ERRCODE_OUT_OF_MEMORY;
		case EDDH_NUMERIC:
			return ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
		case EDDH_IO:
			return ERRCODE_IO_ERROR;
		case EDDH_STOPPED:
			return ERRCODE_QUERY_CANCELED;
	}
	return ERRCODE_INTERNAL_ERROR;
}

/* Names in a stranger's file can be any bytes, and a message is cut at its buffer's end, perhaps inside a character. */
static char *
Printable(const char *message)
{
	char *copy = pstrdup(message);
	bool valid = pg_verify_mbstr(GetDatabaseEncoding(), copy, strlen(copy), true);

	for (char *p = copy; *p != '\0'; p++)
		if ((unsigned char) *p < ' ' || (!valid && IS_HIGHBIT_SET(*p)))
			*p = '?';
	return copy;
}

void
EddhReport(const eddh_error *err, const char *what)
{
	const char *message_text = Printable(err->message);

	ereport(ERROR, (errcode(EddhErrorSqlState(err->code)),
					what != NULL ? errmsg("%s: %s", what, message_text) : errmsg("%s", message_text),
					err->hint[0] != '\0' ? errhint("%s", Printable(err->hint)) : 0));
	pg_unreachable();
}

void
EddhWarn(const eddh_error *err, const char *what)
{
	ereport(WARNING, (errcode(EddhErrorSqlState(err->code)), errmsg("%s: %s", what, Printable(err->message)),
					  err->hint[0] != '\0' ? errhint("%s", Printable(err->hint)) : 0));
}

static bool
InterruptPoll(void *arg)
{
	return InterruptPending && INTERRUPTS_CAN_BE_PROCESSED();
}

const eddh_stop EddhInterruptStop = { InterruptPoll, NULL };
