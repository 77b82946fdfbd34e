/*
 * spool.h: data that outgrows memory: written once, in order, to a temporary file, then mapped read-only; or memory that is such a file. Include after
 * postgres.h.
 *
 * The file is one of PostgreSQL's own temporary files: it counts against temp_file_limit, vanishes with the process, and, after a crash, with the
 * next start of the server.
 */
#ifndef EDDH_TRAIN_SPOOL_H
#define EDDH_TRAIN_SPOOL_H

typedef struct Spool Spool;

extern Spool *SpoolCreate(void); /* in the current memory context */
extern void SpoolWrite(Spool *spool, const void *bytes, size_t len);
extern size_t SpoolSize(const Spool *spool);

/* No writing after this. Valid until SpoolFree; may be read by any thread. NULL if it is empty. */
extern const void *SpoolMap(Spool *spool);
extern void SpoolFree(Spool *spool);

/* Appends zeroes that have their place on the disk. As long as the disk takes to find it: bytes should be some megabytes. */
extern void SpoolExtend(Spool *spool, size_t bytes);

/* As SpoolMap, to be written to as well. */
extern void *SpoolMapWritable(Spool *spool);

#endif /* EDDH_TRAIN_SPOOL_H */
