/*
 * report.h: where the plain-C rooms' eddh_error becomes PostgreSQL's ereport, and how a long plain-C call is interrupted.
 * Include after postgres.h.
 */
#ifndef EDDH_REPORT_H
#define EDDH_REPORT_H

#include "common/result.h"
#include "compat.h"

/*
 * SQLSTATE of a code: EDDH_BAD_DATA 22P03, EDDH_OVER_LIMIT 54000, EDDH_UNSUPPORTED 0A000, EDDH_BAD_ARGUMENT 22023, EDDH_NO_MEMORY 53200,
 * EDDH_NUMERIC 22003, EDDH_IO 58030, EDDH_STOPPED 57014.
 */
extern int EddhErrorSqlState(eddh_code code);

/*
 * Raises err as an ERROR: "<what>: <message>" (or the message alone where what is NULL) with err's hint. Out of memory becomes the usual
 * error of that name.
 */
extern void EddhReport(const eddh_error *err, const char *what) pg_attribute_noreturn();

/* The same as a WARNING. */
extern void EddhWarn(const eddh_error *err, const char *what);

/* EddhReport unless code is EDDH_OK. */
#define EDDH_CHECK(call, err, what)    \
	do                                 \
	{                                  \
		if ((call) != EDDH_OK)         \
			EddhReport((err), (what)); \
	} while (0)

/*
 * Polls for a pending interrupt that may be served here (never while interrupts are held, or a caller that tries again would spin). After a call
 * returned EDDH_STOPPED, run CHECK_FOR_INTERRUPTS(); if that returns, the interrupt wanted nothing from us: call again.
 */
extern const eddh_stop EddhInterruptStop;

#endif /* EDDH_REPORT_H */
