/* remember.c: the model and the last picture of a call site. */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "sqlapi/remember.h"

Remembered *
RememberedOf(FunctionCallInfo fcinfo)
{
	Remembered *remembered = fcinfo->flinfo->fn_extra;

	if (remembered == NULL)
	{
		remembered = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Remembered));
		remembered->context = fcinfo->flinfo->fn_mcxt;
		remembered->model_context =
			AllocSetContextCreate(remembered->context, "eddh remembered model", ALLOCSET_SMALL_SIZES);
		remembered->image_context =
			AllocSetContextCreate(remembered->context, "eddh remembered image", ALLOCSET_DEFAULT_SIZES);
		fcinfo->flinfo->fn_extra = remembered;
	}
	return remembered;
}

static void
ForgetImage(Remembered *remembered)
{
	remembered->given = NULL;
	remembered->bytes = NULL;
	remembered->code = NULL;
	MemoryContextReset(remembered->image_context);
}

/* Snapshots that were copied from another process, or taken in recovery, have no count: zero, and then every call looks. */
static uint64
CurrentCompletions(CommandId *command)
{
	Snapshot snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : NULL;

	if (snapshot == NULL || snapshot->takenDuringRecovery)
		return 0;
	*command = snapshot->curcid;
	return snapshot->snapXactCompletionCount;
}

static bool
SameName(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

const ModelInfo *
RememberModel(Remembered *remembered, const char *name)
{
	CommandId command = InvalidCommandId;
	uint64 completions = CurrentCompletions(&command);
	MemoryContext caller;
	ModelInfo *model;
	ModelInfo *old = remembered->model;

	if (name == NULL && ModelSettingModel != NULL && ModelSettingModel[0] != '\0')
		name = ModelSettingModel;
	if (old != NULL && completions != 0 && completions == remembered->completions && command == remembered->command &&
		remembered->user == GetUserId() && remembered->transaction == EddhLocalTransaction() &&
		SameName(name, remembered->name))
		return old;

	model = ModelFind(name, false);
	if (old != NULL && memcmp(old->sha, model->sha, MODEL_SHA_BYTES) == 0 && old->backbone == model->backbone &&
		SameName(old->cut, model->cut) && SameName(name, remembered->name))
		pfree(model);
	else
	{
		ForgetImage(remembered);
		remembered->model = NULL;
		MemoryContextReset(remembered->model_context);
		caller = MemoryContextSwitchTo(remembered->model_context);
		remembered->model = ModelFind(name, false);
		remembered->name = name == NULL ? NULL : pstrdup(name);
		MemoryContextSwitchTo(caller);
	}
	remembered->completions = completions;
	remembered->command = command;
	remembered->user = GetUserId();
	remembered->transaction = EddhLocalTransaction();
	return remembered->model;
}

static bool
SameBytes(const struct varlena *a, const struct varlena *b)
{
	return VARSIZE_ANY(a) == VARSIZE_ANY(b) && memcmp(a, b, VARSIZE_ANY(a)) == 0;
}

static struct varlena *
Copy(MemoryContext context, const struct varlena *value)
{
	struct varlena *copy = MemoryContextAlloc(context, VARSIZE_ANY(value));

	memcpy(copy, value, VARSIZE_ANY(value));
	return copy;
}

bool
RememberCode(Remembered *remembered, Datum image, VarBit **code, eddh_error *err)
{
	struct varlena *given = (struct varlena *) DatumGetPointer(image);
	struct varlena *bytes;
	ModelEncoder *encoder;

	/* Equal as given: also two pointers to one TOAST value, which a query's snapshot keeps from being another. Not in-memory indirections. */
	if (VARATT_IS_EXTERNAL(given) && !VARATT_IS_EXTERNAL_ONDISK(given))
		given = PG_DETOAST_DATUM_PACKED(image);
	if (remembered->code != NULL && SameBytes(given, remembered->given))
	{
		*code = remembered->code;
		return true;
	}
	bytes = PG_DETOAST_DATUM_PACKED(PointerGetDatum(given));
	if (remembered->code != NULL && VARSIZE_ANY_EXHDR(bytes) == VARSIZE_ANY_EXHDR(remembered->bytes) &&
		memcmp(VARDATA_ANY(bytes), VARDATA_ANY(remembered->bytes), VARSIZE_ANY_EXHDR(bytes)) == 0)
	{
		*code = remembered->code;
		return true;
	}

	ForgetImage(remembered);
	encoder = ModelEncoderShared(remembered->model);
	if (ModelEncoderLoad(encoder, 0, (const uint8 *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), err) != EDDH_OK)
		return false;
	*code = ModelCode(remembered->model->bits, ModelEncoderRun(encoder, 1));
	remembered->given = Copy(remembered->image_context, given);
	remembered->bytes = given == bytes ? remembered->given : Copy(remembered->image_context, bytes);
	remembered->code = (VarBit *) Copy(remembered->image_context, (struct varlena *) *code);
	return true;
}
