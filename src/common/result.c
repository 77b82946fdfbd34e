/* result.c: error records of the plain-C rooms. */
#include "common/result.h"

#include <stdarg.h>
#include <stdio.h>

eddh_code
eddh_fail(eddh_error *err, eddh_code code, const char *fmt, ...)
{
	if (err != NULL)
	{
		va_list args;

		err->code = code;
		err->hint[0] = '\0';
		va_start(args, fmt);
		vsnprintf(err->message, sizeof(err->message), fmt, args);
		va_end(args);
	}
	return code;
}

void
eddh_hint(eddh_error *err, const char *fmt, ...)
{
	if (err != NULL)
	{
		va_list args;

		va_start(args, fmt);
		vsnprintf(err->hint, sizeof(err->hint), fmt, args);
		va_end(args);
	}
}
