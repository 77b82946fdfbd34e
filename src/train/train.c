/* train.c: eddh_train: everything that can be checked before a worker starts. */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "model/labels.h"
#include "model/model.h"
#include "report.h"
#include "train/cost.h"
#include "train/dataset.h"
#include "train/options.h"
#include "train/submit.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(eddh_train);

#define DEFAULT_METHOD_LABELLED   "eddh"
#define DEFAULT_METHOD_UNLABELLED "itq"

static const hash_method *
FindMethod(const char *name, bool has_labels)
{
	const hash_method *method = hash_method_find(name);

	if (method == NULL)
	{
		StringInfoData list;

		initStringInfo(&list);
		for (int i = 0; hash_method_at(i) != NULL; i++)
			appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", hash_method_at(i)->name);
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("method \"%s\" does not exist", name),
						errhint("Methods are: %s.", list.data)));
	}
	if (method->needs_labels && !has_labels)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("method \"%s\" learns from labels", name),
						errhint("Name a label column, or use method \"%s\".", DEFAULT_METHOD_UNLABELLED)));
	return method;
}

/* Pictures that share a label count as similar: where all share one, there is nothing to tell apart. */
static char *
CommonLabel(Oid relation, const SubmitColumn *image, const SubmitColumn *label, int64 labelled, MemoryContext context)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "SELECT l.label FROM %s AS t, LATERAL (SELECT DISTINCT e::pg_catalog.text COLLATE \"C\" AS label"
					 " FROM pg_catalog.unnest(t.%s) AS e WHERE e IS NOT NULL) AS l WHERE t.%s IS NOT NULL"
					 " GROUP BY l.label HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>=) " INT64_FORMAT
					 "::pg_catalog.int8 LIMIT 1",
					 SubmitRelationName(relation), quote_identifier(label->name), quote_identifier(image->name),
					 labelled);
	if (SPI_execute(sql.data, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not count the labels of %s", SubmitRelationName(relation));
	if (SPI_processed == 0)
		return NULL;
	return MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
}

/* How many different labels pictures have. */
static int64
CountClasses(Oid relation, const SubmitColumn *image, const SubmitColumn *label, bool is_array)
{
	const char *column = quote_identifier(label->name);
	StringInfoData sql;
	bool isnull;

	initStringInfo(&sql);
	appendStringInfo(
		&sql, "SELECT pg_catalog.count(*) FROM (SELECT DISTINCT l.label::pg_catalog.text COLLATE \"C\" FROM %s AS t,",
		SubmitRelationName(relation));
	if (is_array)
		appendStringInfo(&sql, " LATERAL pg_catalog.unnest(t.%s) AS l(label)", column);
	else
		appendStringInfo(&sql, " LATERAL (SELECT t.%s) AS l(label)", column);
	appendStringInfo(&sql, " WHERE t.%s IS NOT NULL AND l.label IS NOT NULL) AS d", quote_identifier(image->name));
	if (SPI_execute(sql.data, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not count the labels of %s", SubmitRelationName(relation));
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* Runs as the caller: a view may ask for more than its own privileges. */
static TrainCounts
Count(Oid relation, const SubmitColumn *image, const SubmitColumn *label, int64 longest_file)
{
	TrainCounts counts = { 0 };
	MemoryContext context = CurrentMemoryContext;
	StringInfoData sql;
	char *length = psprintf("pg_catalog.octet_length(t.%s)", quote_identifier(image->name));
	char *short_enough =
		psprintf("FILTER (WHERE %s OPERATOR(pg_catalog.<=) " INT64_FORMAT "::pg_catalog.int8)", length, longest_file);
	char *counted = psprintf("pg_catalog.count(*), coalesce(pg_catalog.sum(%s), 0)::pg_catalog.int8,"
							 " coalesce(pg_catalog.sum(%s) %s, 0)::pg_catalog.int8,"
							 " pg_catalog.count(*) OPERATOR(pg_catalog.-) pg_catalog.count(*) %s",
							 length, length, short_enough, short_enough);
	bool is_array = label != NULL && OidIsValid(get_element_type(label->type));
	HeapTuple row;
	TupleDesc described;
	bool isnull;

	initStringInfo(&sql);
	if (label == NULL)
		appendStringInfo(&sql, "SELECT %s FROM %s AS t WHERE t.%s IS NOT NULL", counted, SubmitRelationName(relation),
						 quote_identifier(image->name));
	else
	{
		const char *column = quote_identifier(label->name);
		const char *least =
			is_array ? "(SELECT pg_catalog.min(e::pg_catalog.text COLLATE \"C\") FROM pg_catalog.unnest(t.%s) AS e)"
					 : "t.%s::pg_catalog.text COLLATE \"C\"";
		const char *greatest =
			is_array ? "(SELECT pg_catalog.max(e::pg_catalog.text COLLATE \"C\") FROM pg_catalog.unnest(t.%s) AS e)"
					 : "t.%s::pg_catalog.text COLLATE \"C\"";

		appendStringInfo(
			&sql,
			"SELECT %s, pg_catalog.count(c.least),"
			" pg_catalog.bool_or(c.least OPERATOR(pg_catalog.<>) c.greatest) FROM %s AS t, LATERAL (SELECT ",
			counted, SubmitRelationName(relation));
		appendStringInfo(&sql, least, column);
		appendStringInfoString(&sql, " AS least, ");
		appendStringInfo(&sql, greatest, column);
		appendStringInfo(&sql, " AS greatest) AS c WHERE t.%s IS NOT NULL", quote_identifier(image->name));
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(sql.data, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not count the pictures of %s", SubmitRelationName(relation));
	row = SPI_tuptable->vals[0];
	described = SPI_tuptable->tupdesc;
	counts.pictures = DatumGetInt64(SPI_getbinval(row, described, 1, &isnull));
	counts.bytes = DatumGetInt64(SPI_getbinval(row, described, 2, &isnull));
	counts.file_bytes = DatumGetInt64(SPI_getbinval(row, described, 3, &isnull));
	counts.unpacked = DatumGetInt64(SPI_getbinval(row, described, 4, &isnull));
	if (label != NULL)
	{
		counts.labelled = DatumGetInt64(SPI_getbinval(row, described, 5, &isnull));
		counts.several_labels = DatumGetBool(SPI_getbinval(row, described, 6, &isnull)) && !isnull;
		counts.classes = CountClasses(relation, image, label, is_array);
	}
	if (is_array && counts.classes > 1)
		counts.common = CommonLabel(relation, image, label, counts.labelled, context);
	SPI_finish();
	return counts;
}

static void
CheckCounts(Oid relation, const TrainCounts *counts, bool has_labels, const hash_method *method, int bits)
{
	int64 usable = has_labels ? counts->labelled : counts->pictures;

	if (usable < bits)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg(INT64_FORMAT " pictures are not enough to train %d bits", usable, bits),
						errdetail("%s has " INT64_FORMAT " rows with a picture%s.", SubmitRelationName(relation),
								  usable, has_labels ? " and a label" : ""),
						errhint("Use at least as many pictures as bits.")));
	if (counts->classes > LABEL_MAX_CLASSES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the label column has " INT64_FORMAT " different labels, more than %d", counts->classes,
							   LABEL_MAX_CLASSES),
						errhint("A label names a kind of picture that many rows share. Is this column a key?")));
	if (!method->needs_labels)
		return;
	if (counts->classes < 2)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("all pictures of %s have the same label", SubmitRelationName(relation)),
						errhint("Learning from labels needs at least two classes; without labels use method \"%s\".",
								DEFAULT_METHOD_UNLABELLED)));
	if (counts->common != NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("all pictures of %s have the label \"%s\" in common", SubmitRelationName(relation), counts->common),
			 errdetail("Pictures that share a label count as similar, so there would be nothing to tell apart."),
			 errhint("Leave that label out, or, without labels, use method \"%s\".", DEFAULT_METHOD_UNLABELLED)));
}

static void
CheckMethod(const hash_method *method, const TrainOptions *options, const ModelBackbone *backbone, int bits)
{
	bool untrained = !backbone->trained && TrainOptionsLayers(options, method) != TRAIN_HASH;
	eddh_error err;

	if (method->check != NULL)
		EDDH_CHECK(method->check(bits, backbone->features, (int) options->value[OPTION_EPOCHS], untrained, &err), &err,
				   NULL);
}

/* Two trainings of one name would both run to the end, and then the second could not be stored. */
static void
CheckNotInTraining(const char *model)
{
	ListCell *cell;

	foreach (cell, JobReadAll())
	{
		JobRow *job = lfirst(cell);

		if (strcmp(job->kind, JOB_KIND_TRAIN) == 0 && strcmp(job->model, model) == 0 &&
			(strcmp(job->state, JOB_QUEUED) == 0 || strcmp(job->state, JOB_RUNNING) == 0) && JobLockHeld(job->id))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
							errmsg("model \"%s\" is being trained already by job " INT64_FORMAT, model, job->id),
							errhint("Wait for it with eddh_wait, stop it with eddh_cancel, or choose another name.")));
	}
}

static char *
RequiredText(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("argument \"%s\" must not be null", name)));
	return arg == 0 ? text_to_cstring(PG_GETARG_TEXT_PP(arg)) : pstrdup(NameStr(*PG_GETARG_NAME(arg)));
}

Datum
eddh_train(PG_FUNCTION_ARGS)
{
	char *model, *image_name, *label_name, *method_name, *backbone_name;
	Oid images;
	int bits;
	Datum json;
	SubmitColumn image, label;
	const hash_method *method;
	ModelBackbone *backbone;
	TrainOptions *options;
	TrainCounts counts;
	JobChange row = { 0 };
	int64 job, rows, learned;
	bool replace;

	SubmitRequirePrimary("eddh_train()");
	model = RequiredText(fcinfo, 0, "model");
	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("argument \"images\" must not be null")));
	images = PG_GETARG_OID(1);
	image_name = RequiredText(fcinfo, 2, "image_column");
	label_name = PG_ARGISNULL(3) ? NULL : pstrdup(NameStr(*PG_GETARG_NAME(3)));
	bits = PG_ARGISNULL(4) ? 64 : PG_GETARG_INT32(4);
	method_name = PG_ARGISNULL(5) ? pstrdup(label_name != NULL ? DEFAULT_METHOD_LABELLED : DEFAULT_METHOD_UNLABELLED)
								  : text_to_cstring(PG_GETARG_TEXT_PP(5));
	backbone_name = PG_ARGISNULL(6) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(6));
	json = PG_ARGISNULL(7) ? DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")) : PG_GETARG_DATUM(7);

	if (bits < HASH_BITS_MIN || bits > HASH_BITS_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a code cannot have %d bits", bits),
						errhint("Choose %d to %d bits; 32, 48 and 64 are usual.", HASH_BITS_MIN, HASH_BITS_MAX)));
	method = FindMethod(method_name, label_name != NULL);
	backbone = ModelFindBackbone(backbone_name);
	options = TrainOptionsRead(json, method, backbone->trained);
	replace = options->value[OPTION_REPLACE] != 0;
	CheckMethod(method, options, backbone, bits);
	ModelCheckNewName(model, replace);
	CheckNotInTraining(model);

	SubmitCheckRelation(images);
	image = SubmitFindColumn(images, image_name);
	SubmitCheckImageColumn(images, &image);
	if (label_name != NULL)
	{
		label = SubmitFindColumn(images, label_name);
		if (label.number == image.number)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("column \"%s\" of %s cannot be both image and label column", label_name,
								   SubmitRelationName(images)),
							errhint("Name the column that tells what a picture shows, or none.")));
	}
	SubmitCheckReadable(images, &image, label_name != NULL ? &label : NULL);
	counts = Count(images, &image, label_name != NULL ? &label : NULL,
				   DataSetLongestFile((TrainDecode) options->value[OPTION_DECODE], CostPictureBytes(backbone)));
	CheckCounts(images, &counts, label_name != NULL, method, bits);
	rows = label_name != NULL ? counts.labelled : counts.pictures;
	learned = label_name != NULL ? rows - TrainOptionsHeldOut(options, rows, bits) : rows;
	TrainOptionsFit(options, method, backbone->trained, (double) learned, counts.several_labels);

	JobSetText(&row, JOB_KIND, JOB_KIND_TRAIN);
	JobSetText(&row, JOB_MODEL, model);
	JobSet(&row, JOB_IMAGES, ObjectIdGetDatum(images));
	JobSetText(&row, JOB_IMAGE_COLUMN, image_name);
	JobSetText(&row, JOB_LABEL_COLUMN, label_name);
	JobSet(&row, JOB_BITS, Int32GetDatum(bits));
	JobSetText(&row, JOB_METHOD, method->name);
	JobSetText(&row, JOB_BACKBONE, backbone->name);
	JobSet(&row, JOB_OPTIONS, TrainOptionsWrite(options, method));
	JobSet(&row, JOB_TOTAL, Int64GetDatum(counts.pictures));
	job = SubmitJob(&row, model);
	if (replace && ModelFind(model, true) != NULL)
		ereport(WARNING, (errmsg("model \"%s\" will be replaced when the job is done", model),
						  errdetail("Until then the old one serves. Codes stored with it do not fit the new one."),
						  errhint("Encode them again: eddh_encode_table with options '{\"all\": true}'.")));
	if (!backbone->trained && TrainOptionsLayers(options, method) == TRAIN_HASH)
		ereport(WARNING,
				(errmsg("backbone \"%s\" is untrained, and stays so", backbone->name),
				 errdetail("Codes will come from features that random weights make."),
				 errhint("Use a backbone that is trained, or a method and train_layers that teach this one.")));
	/* It takes a look at the whole network. */
	if (message_level_is_interesting(NOTICE))
		CostTell(&counts, bits, backbone, method, options);
	PG_RETURN_INT64(job);
}
