/*
 * remember.h: what a call of eddh_encode or eddh_encode_trigger keeps for the next one of the same query. Private to sqlapi/. Include after
 * postgres.h.
 *
 * A model is looked up, and the caller's right to it checked, once for each snapshot that is used: under one snapshot the catalog cannot look
 * different, and `ORDER BY code <-> eddh_encode($1)` over a million rows should not look a million times.
 */
#ifndef EDDH_SQLAPI_REMEMBER_H
#define EDDH_SQLAPI_REMEMBER_H

#include "access/transam.h"
#include "fmgr.h"
#include "utils/varbit.h"

#include "model/model.h"

typedef struct Remembered
{
	MemoryContext context; /* as long as the FmgrInfo; its children: */
	MemoryContext model_context;
	MemoryContext image_context;

	/* The model, and under what it was looked up. */
	char *name; /* NULL: setting */
	ModelInfo *model;
	Oid user;
	CommandId command;
	uint64 completions;
	LocalTransactionId transaction;

	/* The last picture as it was given (perhaps a pointer into TOAST), its bytes, and its code by that model. */
	struct varlena *given;
	struct varlena *bytes;
	VarBit *code;
} Remembered;

/* Of this call site (fn_extra). */
extern Remembered *RememberedOf(FunctionCallInfo fcinfo);

/* The model by name (NULL: setting). Forgets the picture when it is another model or other weights than last time. */
extern const ModelInfo *RememberModel(Remembered *remembered, const char *name);

/* Code of a picture by the remembered model, perhaps without running the network. false: err says why the picture has none. The code is *remembered's. */
extern bool RememberCode(Remembered *remembered, Datum image, VarBit **code, eddh_error *err);

#endif /* EDDH_SQLAPI_REMEMBER_H */
