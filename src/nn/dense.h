/* dense.h: what both kinds of fully connected layers have in common. Private to this room. */
#ifndef EDDH_NN_DENSE_H
#define EDDH_NN_DENSE_H

/* Below this many samples each sample reads the weights itself. */
#define NN_DENSE_GEMM_FROM 3

/* Partial sums a row: which numbers are added to which decides the last bits. */
#define NN_DENSE_LANES 32

#endif /* EDDH_NN_DENSE_H */
