/* columns.h: a table's columns by name, with an error that helps. Private to sqlapi/. Include after postgres.h. */
#ifndef EDDH_SQLAPI_COLUMNS_H
#define EDDH_SQLAPI_COLUMNS_H

#include "utils/rel.h"

/* Number of a user column; 42703 with a HINT that lists the columns, followed by `more` where not NULL. */
extern int ColumnNumber(Relation relation, const char *name, const char *more);

#endif /* EDDH_SQLAPI_COLUMNS_H */
