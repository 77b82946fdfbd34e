/* index.h: what the rest of the extension may call of the access method: its start-up. */
#ifndef EDDH_INDEX_INDEX_H
#define EDDH_INDEX_INDEX_H

/* Registers the storage parameters; called once by _PG_init. */
extern void IndexInit(void);

#endif /* EDDH_INDEX_INDEX_H */
