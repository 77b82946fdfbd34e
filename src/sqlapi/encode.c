/* encode.c: eddh_encode, eddh_encode_batch, eddh_features. */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "model/model.h"
#include "report.h"
#include "sqlapi/remember.h"

PG_FUNCTION_INFO_V1(eddh_encode);
PG_FUNCTION_INFO_V1(eddh_encode_batch);
PG_FUNCTION_INFO_V1(eddh_features);
PG_FUNCTION_INFO_V1(eddh_network_runs);

static char *
NameArgument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/* eddh_encode(image bytea, model text) -> bit */
Datum
eddh_encode(PG_FUNCTION_ARGS)
{
	Remembered *remembered = RememberedOf(fcinfo);
	VarBit *code;
	VarBit *result;
	eddh_error err;

	RememberModel(remembered, NameArgument(fcinfo, 1));
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (!RememberCode(remembered, PG_GETARG_DATUM(0), &code, &err))
		EddhReport(&err, "cannot encode the picture");
	result = palloc(VARSIZE(code));
	memcpy(result, code, VARSIZE(code));
	PG_RETURN_VARBIT_P(result);
}

/* eddh_encode_batch(images bytea[], model text) -> bit[] */
Datum
eddh_encode_batch(PG_FUNCTION_ARGS)
{
	ModelInfo *model = ModelFind(NameArgument(fcinfo, 1), false);
	ArrayType *images;
	MemoryContext batch_context;
	ModelEncoder *encoder;
	Datum *elements;
	Datum *codes;
	bool *nulls;
	int *element_of; /* slot -> element */
	int n, slots;
	int lower;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	images = PG_GETARG_ARRAYTYPE_P(0);
	if (ARR_NDIM(images) > 1)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("an array of pictures has one dimension, not %d", ARR_NDIM(images))));
	if (ARR_NDIM(images) == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(BITOID));
	lower = ARR_LBOUND(images)[0];
	deconstruct_array(images, BYTEAOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	slots = Min(n, MODEL_ENCODE_BATCH);
	codes = palloc0(sizeof(Datum) * n);
	element_of = palloc(sizeof(int) * slots);
	encoder = ModelEncoderCreate(model, slots);
	batch_context = AllocSetContextCreate(CurrentMemoryContext, "eddh batch", ALLOCSET_DEFAULT_SIZES);

	for (int next = 0; next < n;)
	{
		MemoryContext caller = MemoryContextSwitchTo(batch_context);
		int used = 0;

		for (; next < n && used < slots; next++)
		{
			bytea *image;
			eddh_error err;

			if (nulls[next])
				continue;
			image = DatumGetByteaPP(elements[next]);
			if (ModelEncoderLoad(encoder, used, (const uint8 *) VARDATA_ANY(image), VARSIZE_ANY_EXHDR(image), &err) !=
				EDDH_OK)
				EddhReport(&err, psprintf("cannot encode picture %d", lower + next));
			element_of[used++] = next;
		}
		MemoryContextSwitchTo(caller);
		if (used > 0)
		{
			const float *u = ModelEncoderRun(encoder, used);

			for (int slot = 0; slot < used; slot++)
				codes[element_of[slot]] = VarBitPGetDatum(ModelCode(model->bits, u + (size_t) slot * model->bits));
		}
		MemoryContextReset(batch_context);
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(codes, nulls, 1, &n, &lower, BITOID, -1, false, TYPALIGN_INT));
}

/* eddh_features(image bytea, backbone text) -> real[] */
Datum
eddh_features(PG_FUNCTION_ARGS)
{
	ModelBackbone *backbone = ModelFindBackbone(NameArgument(fcinfo, 1));
	ModelEncoder *encoder;
	bytea *image;
	const float *features;
	ArrayType *result;
	eddh_error err;
	Size size;
	int n;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	encoder = ModelEncoderSharedForBackbone(backbone);
	image = PG_GETARG_BYTEA_PP(0);
	EDDH_CHECK(ModelEncoderLoad(encoder, 0, (const uint8 *) VARDATA_ANY(image), VARSIZE_ANY_EXHDR(image), &err), &err,
			   "cannot encode the picture");
	features = ModelEncoderRun(encoder, 1);

	n = ModelEncoderOutputs(encoder);
	size = ARR_OVERHEAD_NONULLS(1) + sizeof(float4) * n;
	result = palloc0(size);
	SET_VARSIZE(result, size);
	result->ndim = 1;
	result->elemtype = FLOAT4OID;
	ARR_DIMS(result)[0] = n;
	ARR_LBOUND(result)[0] = 1;
	memcpy(ARR_DATA_PTR(result), features, sizeof(float4) * n);
	PG_RETURN_ARRAYTYPE_P(result);
}

/* eddh_catalog.network_runs() -> bigint */
Datum
eddh_network_runs(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(ModelNetworkRuns());
}
