/* flat.h: what tests of the flat form reach into. Private to this room. */
#ifndef EDDH_NN_FLAT_H
#define EDDH_NN_FLAT_H

#include "nn/nn.h"

/* Weights that a dense layer has at least before it is looked at whether they fit half precision. Tests lower it, nobody else writes it. */
extern uint64_t nn_flat_least_halves;

#endif /* EDDH_NN_FLAT_H */
