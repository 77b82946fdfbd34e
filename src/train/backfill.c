/* backfill.c: eddh_encode_table: codes for rows that have none, in the background. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "model/model.h"
#include "report.h"
#include "train/options.h"
#include "train/reader.h"
#include "train/submit.h"
#include "train/worker.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(eddh_encode_table);

/* Rows that change between reading and writing are left for another pass; a table that never rests must not keep us for ever. */
#define MAX_PASSES 5

#define MAX_PENDING_BYTES (64 * 1024 * 1024) /* of picture files that wait for their batch */

/* ---- In the caller's session ---- */

static bool
ReadOptions(Datum json)
{
	Jsonb *object = DatumGetJsonbP(json);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	bool all = false;

	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("options must be a JSON object"),
						errhint("For example: '{\"all\": true}'.")));
	iterator = JsonbIteratorInit(&object->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY && (value.val.string.len != 3 || memcmp(value.val.string.val, "all", 3) != 0))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("unknown option \"%s\" of a backfill",
								   pnstrdup(value.val.string.val, value.val.string.len)),
							errhint("Known options are: all.")));
		if (token == WJB_VALUE)
		{
			if (value.type != jbvBool)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("option \"all\" must be true or false")));
			all = value.val.boolean;
		}
	}
	return all;
}

static void
CheckWritable(Oid relation, const SubmitColumn *code)
{
	Oid role = GetUserId();

	if (pg_class_aclcheck(relation, role, ACL_UPDATE) != ACLCHECK_OK &&
		pg_attribute_aclcheck(relation, code->number, role, ACL_UPDATE) != ACLCHECK_OK)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to update %s", SubmitRelationName(relation)),
						errhint("The column \"%s\" needs the privilege UPDATE.", code->name)));
}

Datum
eddh_encode_table(PG_FUNCTION_ARGS)
{
	static const char *const names[] = { "images", "image_column", "code_column" };
	Oid images;
	Datum json;
	ModelInfo *model;
	SubmitColumn image, code;
	JobChange row = { 0 };
	char kind;

	SubmitRequirePrimary("eddh_encode_table()");
	for (int i = 0; i < lengthof(names); i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("argument \"%s\" must not be null", names[i])));
	images = PG_GETARG_OID(0);
	json = PG_ARGISNULL(4) ? DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")) : PG_GETARG_DATUM(4);
	(void) ReadOptions(json);
	model = ModelFind(PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)), false);
	SubmitCheckRelation(images);
	image = SubmitFindColumn(images, NameStr(*PG_GETARG_NAME(1)));
	SubmitCheckImageColumn(images, &image);
	code = SubmitFindColumn(images, NameStr(*PG_GETARG_NAME(2)));

	kind = get_rel_relkind(images);
	if ((kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) || !ReaderHasBlocks(images))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a table whose rows can be updated in place", SubmitRelationName(images)),
				 errhint("Codes are filled in ordinary and partitioned tables; name the table behind the view.")));
	if ((code.type != BITOID && code.type != VARBITOID) || (code.type == BITOID && code.typmod != model->bits) ||
		(code.type == VARBITOID && code.typmod >= 0 && code.typmod < model->bits))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("code column \"%s\" of %s is of type %s, but codes of model \"%s\" are bit(%d)",
							   code.name, SubmitRelationName(images), format_type_with_typemod(code.type, code.typmod),
							   model->name, model->bits),
						errhint("ALTER TABLE %s ADD COLUMN ... bit(%d)", SubmitRelationName(images), model->bits)));
	if (get_attgenerated(images, code.number) != '\0')
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("code column \"%s\" of %s is generated and cannot be filled", code.name,
							   SubmitRelationName(images))));
	SubmitCheckReadable(images, &image, &code);
	CheckWritable(images, &code);

	JobSetText(&row, JOB_KIND, JOB_KIND_ENCODE);
	JobSetText(&row, JOB_MODEL, model->name);
	JobSet(&row, JOB_IMAGES, ObjectIdGetDatum(images));
	JobSetText(&row, JOB_IMAGE_COLUMN, image.name);
	JobSetText(&row, JOB_CODE_COLUMN, code.name);
	JobSet(&row, JOB_BITS, Int32GetDatum(model->bits));
	JobSet(&row, JOB_OPTIONS, json);
	PG_RETURN_INT64(SubmitJob(&row, model->name));
}

/* ---- In the worker ---- */

typedef struct Pending
{
	ItemPointerData tid;
	Oid table;
	VarBit *old; /* NULL: none */
} Pending;       /* a row; its picture has the same number */

typedef struct Backfill
{
	Reader reader;
	bool all;
	ModelEncoder *encoder;
	int n; /* rows that wait */
	Pending *pending;
	ModelPicture *pictures;
	size_t bytes;          /* of these */
	MemoryContext waiting; /* their pictures and codes */
	SPIPlanPtr update;
	int64 seen; /* in the first pass */
	int64 written;
	int64 missed; /* changed by others between reading and writing */
	bool first_pass;
	TimestampTz begin;
} Backfill;

static void
PrepareBackfill(Backfill *b)
{
	const JobRow *job = WorkerJob();
	const char *code = quote_identifier(job->code_column);
	ModelInfo *model;

	WorkerBegin();
	MemoryContextSwitchTo(WorkerContext());
	b->all = ReadOptions(job->options);
	model = ModelFind(job->model, false);
	if (model->bits != job->bits)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\" was replaced: it has %d bits now", model->name, model->bits)));
	b->encoder = ModelEncoderCreateThreaded(model, TrainThreads);
	b->pending = palloc(sizeof(Pending) * ModelEncoderMaxBatch(b->encoder));
	b->pictures = palloc(sizeof(ModelPicture) * ModelEncoderMaxBatch(b->encoder));
	b->waiting = AllocSetContextCreate(WorkerContext(), "eddh pictures", ALLOCSET_DEFAULT_SIZES);
	b->reader.relation = job->images;
	b->reader.image_column = job->image_column;
	b->reader.condition = b->all ? NULL : psprintf("t.%s IS NULL", code);
	b->reader.start_block = b->all ? (BlockNumber) job->position : 0;
	b->reader.arg = b;
	if (b->all)
	{
		SubmitColumn column = SubmitFindColumn(job->images, job->code_column);

		if (column.type != BITOID && column.type != VARBITOID)
			ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("column \"%s\" of %s has changed its type",
																	   column.name, SubmitRelationName(job->images))));
		b->reader.extra_column = job->code_column;
		b->reader.extra_type = column.declared_type;
	}
	WorkerEnd();
}

/*
 * The plan is made as the owner, and made again by PostgreSQL whenever it has to be. In older minor releases a TID scan does not look at the ctid again after it
 * has waited for another's update, and would put the code of the old picture into the new version of the row; a filter does look.
 */
static void
PlanUpdate(Backfill *b)
{
	Oid types[] = { BITOID, TIDOID, OIDOID };

	if (b->update != NULL)
		return;
	b->update =
		SPI_prepare(psprintf("UPDATE %s AS t SET %s = $1 WHERE t.ctid OPERATOR(pg_catalog.=) $2"
							 " AND t.ctid OPERATOR(pg_catalog.>=) $2 AND t.ctid OPERATOR(pg_catalog.<=) $2"
							 " AND t.tableoid OPERATOR(pg_catalog.=) $3",
							 SubmitRelationName(WorkerJob()->images), quote_identifier(WorkerJob()->code_column)),
					lengthof(types), types);
	if (b->update == NULL || SPI_keepplan(b->update) != 0)
		elog(ERROR, "could not prepare the update");
}

static bool
SameCode(const VarBit *a, const VarBit *b)
{
	return b != NULL && VARBITLEN(a) == VARBITLEN(b) && memcmp(VARBITS(a), VARBITS(b), VARBITBYTES(a)) == 0;
}

static void
Skip(Backfill *b, const Pending *row, const ModelPicture *picture)
{
	ReaderRow place = { .has_place = true, .tid = row->tid, .table = row->table };

	if (picture->code != EDDH_BAD_DATA && picture->code != EDDH_OVER_LIMIT && picture->code != EDDH_UNSUPPORTED)
		EddhReport(&picture->err, NULL);
	/* Later passes meet the same bad pictures again. */
	if (b->first_pass)
		WorkerSkipped(psprintf("%s: %s", ReaderRowName(&b->reader, &place), picture->err.message));
}

/* Encodes and writes what has gathered; in the reader's transaction. */
static void
WritePending(Backfill *b)
{
	const float *u;
	int bits = WorkerJob()->bits;

	if (b->n == 0)
		return;
	PlanUpdate(b);
	/* Deferred triggers cannot wait for the commit in a security-restricted operation. */
	if (SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "SET CONSTRAINTS failed");
	u = ModelEncoderRunPictures(b->encoder, b->n, b->pictures);
	for (int i = 0; i < b->n; i++)
	{
		Pending *row = &b->pending[i];
		VarBit *code;
		Datum values[3];

		if (b->pictures[i].code != EDDH_OK)
		{
			Skip(b, row, &b->pictures[i]);
			continue;
		}
		code = ModelCode(bits, u + (size_t) i * bits);
		/* A row that would not change is not written: looking over a filled table costs no row versions. */
		if (SameCode(code, row->old))
			continue;
		values[0] = PointerGetDatum(code);
		values[1] = PointerGetDatum(&row->tid);
		values[2] = ObjectIdGetDatum(row->table);
		if (SPI_execute_plan(b->update, values, NULL, false, 0) != SPI_OK_UPDATE)
			elog(ERROR, "update failed");
		if (SPI_processed == 1)
			b->written++;
		else
			b->missed++;
	}
	if (b->first_pass)
		b->seen += b->n;
	b->n = 0;
	b->bytes = 0;
	MemoryContextReset(b->waiting);
	WorkerProgress(b->seen);
}

static void
EncodeRow(void *arg, const ReaderRow *row)
{
	Backfill *b = arg;
	uint8 *bytes = MemoryContextAllocHuge(b->waiting, Max(row->image_len, 1));

	memcpy(bytes, row->image, row->image_len);
	b->pictures[b->n] = (ModelPicture){ .bytes = bytes, .len = row->image_len };
	b->pending[b->n] = (Pending){ .tid = row->tid, .table = row->table };
	if (!row->extra_isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(b->waiting);

		b->pending[b->n].old = DatumGetVarBitPCopy(row->extra);
		MemoryContextSwitchTo(old);
	}
	b->bytes += row->image_len;
	b->n++;
	if (b->n == ModelEncoderMaxBatch(b->encoder) || b->bytes > MAX_PENDING_BYTES)
		WritePending(b);
}

static void
EndStep(void *arg)
{
	WritePending(arg);
}

static void
Committed(void *arg, BlockNumber next_block, BlockNumber end)
{
	Backfill *b = arg;
	double seconds = WorkerSecondsSince(b->begin);

	/* A second pass is short. */
	if (b->first_pass)
		WorkerEta(seconds * (end - next_block) / (next_block - b->reader.start_block));
	if (b->all && b->first_pass)
		WorkerPosition(next_block);
}

void
EncodeRun(void)
{
	Backfill b = { .first_pass = true };

	PrepareBackfill(&b);
	b.reader.row = EncodeRow;
	b.reader.step = EndStep;
	b.reader.committed = Committed;
	WorkerPhase("encode", ReaderCount(&b.reader));
	b.begin = GetCurrentTimestamp();
	for (int pass = 0; pass < MAX_PASSES; pass++)
	{
		b.missed = 0;
		ReaderRun(&b.reader);
		b.first_pass = false;
		/* With `all` nothing tells rows that still need a code from others, so it looks once. */
		if (b.missed == 0 || b.all)
			break;
	}
	if (b.missed > 0)
		WorkerRemark(INT64_FORMAT " rows were left out: they changed meanwhile, or a trigger kept their codes out",
					 b.missed);
	WorkerPhase("done", b.written);
	WorkerProgress(b.written);
	WorkerBegin();
	WorkerEndDone();
}
