/* compare_plan.c: eddh_compare in the caller's session, and reading what it was asked for. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "model/model.h"
#include "report.h"
#include "train/compare.h"
#include "train/submit.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(eddh_compare);

#define NAME "comparison" /* where a training has its model's name */

enum
{
	OWN_SEEDS,
	OWN_QUERIES,
	OWN_TRAIN,
	OWN_TOP,
	OWN_UNSEEN,
	OWN_COUNT
};

static const hash_param own[OWN_COUNT + 1] = {
	[OWN_SEEDS] = { "seeds", 3, 1, 100, NULL, "splits and trainings of each pair", .whole = true },
	[OWN_QUERIES] = { "queries", 1000, 1, 1e6, NULL, "pictures that are asked for", .whole = true },
	[OWN_TRAIN] = { "train", 5000, 0, 1e8, NULL, "pictures to learn from; 0: all others", .whole = true },
	[OWN_TOP] = { "top", 0, 0, 1e8, NULL, "cut-off of the ranking; 0: none", .whole = true },
	[OWN_UNSEEN] = { "unseen", 0, 0, 0.9, NULL, "share of the classes that training never sees" },
};

static Datum
EmptyObject(void)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
}

static Datum
Without(Datum object, const char *key)
{
	return DirectFunctionCall2(jsonb_delete, object, CStringGetTextDatum(key));
}

/* NULL if it is not there. */
static JsonbValue *
Find(Datum object, const char *key)
{
	JsonbValue name = { .type = jbvString, .val.string = { .val = unconstify(char *, key), .len = strlen(key) } };

	return findJsonbValueFromContainer(&DatumGetJsonbP(object)->root, JB_FOBJECT, &name);
}

static double
OwnValue(Datum object, const hash_param *param)
{
	JsonbValue *value = Find(object, param->name);
	double number;
	eddh_error err;

	if (value == NULL)
		return param->standard;
	if (value->type != jbvNumeric)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" of a comparison must be a number", param->name)));
	EDDH_CHECK(hash_param_parse(param,
								DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric))),
								&number, &err),
			   &err, NULL);
	return number;
}

/* Elements of the array `key`, as texts. */
static List *
Elements(Datum object, const char *key)
{
	JsonbValue *array = Find(object, key);
	List *list = NIL;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;

	if (array == NULL || array->type != jbvBinary)
		return NIL;
	iterator = JsonbIteratorInit(array->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM && value.type == jbvString)
			list = lappend(list, pnstrdup(value.val.string.val, value.val.string.len));
		else if (token == WJB_ELEM && value.type == jbvNumeric)
			list = lappend(list, DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric))));
	}
	return list;
}

/* What all methods share, without what is the comparison's own and what is meant for one of them. */
static Datum
SharedOptions(Datum options)
{
	Datum shared = Without(Without(options, "methods"), "bits");
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	char *key = NULL;

	for (int i = 0; i < OWN_COUNT; i++)
		shared = Without(shared, own[i].name);
	/* Objects are for one method or variant; options of trainings are none. */
	iterator = JsonbIteratorInit(&DatumGetJsonbP(options)->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && value.type == jbvBinary)
			shared = Without(shared, key);
	}
	return shared;
}

ComparePlan *
ComparePlanRead(Datum options)
{
	ComparePlan *plan = palloc0(sizeof(ComparePlan));
	List *methods = Elements(options, "methods"), *bits = Elements(options, "bits");
	Datum shared = SharedOptions(options);
	ListCell *cell;

	plan->seeds = (int) OwnValue(options, &own[OWN_SEEDS]);
	plan->queries = (int) OwnValue(options, &own[OWN_QUERIES]);
	plan->train = (int) OwnValue(options, &own[OWN_TRAIN]);
	plan->top = (int) OwnValue(options, &own[OWN_TOP]);
	plan->unseen = OwnValue(options, &own[OWN_UNSEEN]);
	plan->bits = palloc(sizeof(int) * Max(1, list_length(bits)));
	foreach (cell, bits)
	{
		int value = pg_strtoint32(lfirst(cell));

		if (value < HASH_BITS_MIN || value > HASH_BITS_MAX)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a code cannot have %d bits", value),
							errhint("Choose %d to %d bits; 32, 48 and 64 are usual.", HASH_BITS_MIN, HASH_BITS_MAX)));
		plan->bits[plan->n_bits++] = value;
	}
	plan->tasks = palloc(sizeof(CompareTask) * Max(1, list_length(methods)));
	foreach (cell, methods)
	{
		JsonbValue *special = Find(options, lfirst(cell));
		Datum own_options =
			special != NULL && special->type == jbvBinary ? JsonbPGetDatum(JsonbValueToJsonb(special)) : EmptyObject();
		JsonbValue *of = Find(own_options, "method");
		const hash_method *method = hash_method_find(
			of != NULL && of->type == jbvString ? pnstrdup(of->val.string.val, of->val.string.len) : lfirst(cell));
		CompareTask *task = &plan->tasks[plan->n_tasks++];

		if (method == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("method \"%s\" does not exist", (char *) lfirst(cell)),
					 errhint("SELECT method FROM eddh_methods lists them.")));
		task->name = lfirst(cell);
		if (strpbrk(task->name, " \t\n") != NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("the name of a variant must be one word, not \"%s\"", task->name)));
		task->method = method;
		task->train = Find(own_options, own[OWN_TRAIN].name) != NULL ? (int) OwnValue(own_options, &own[OWN_TRAIN]) : 0;
		own_options = Without(Without(own_options, "method"), own[OWN_TRAIN].name);
		task->options = DirectFunctionCall2(jsonb_concat, shared, own_options);
		/* Anchors asked of all are for those that can have them. */
		if (method->no_anchors)
			task->options = Without(task->options, "head");
	}
	return plan;
}

/* ---- The call ---- */

/* options || {"methods": ..., "bits": ...}, all of both written out, so that the job says what it did. */
static Datum
WholeOptions(Datum options, ArrayType *methods, ArrayType *bits)
{
	StringInfoData json;
	Datum *values;
	bool *nulls;
	int n;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"methods\": [");
	if (methods == NULL)
		for (int i = 0; hash_method_at(i) != NULL; i++)
			appendStringInfo(&json, "%s\"%s\"", i > 0 ? ", " : "", hash_method_at(i)->name);
	else
	{
		deconstruct_array(methods, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
		for (int i = 0; i < n; i++)
		{
			if (nulls[i])
				ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("methods must not be null")));
			appendStringInfoString(&json, i > 0 ? ", " : "");
			escape_json(&json, TextDatumGetCString(values[i]));
		}
	}
	appendStringInfoString(&json, "], \"bits\": [");
	deconstruct_array(bits, INT4OID, 4, true, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("bits must not be null")));
		appendStringInfo(&json, "%s%d", i > 0 ? ", " : "", DatumGetInt32(values[i]));
	}
	appendStringInfoString(&json, "]}");
	return DirectFunctionCall2(jsonb_concat, options, DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}

static char *
OwnKeys(void)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < OWN_COUNT; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", own[i].name);
	return list.data;
}

/* Whether a scalar of this name is for the comparison, or for some training; TrainOptionsRead judges whether for those that are asked for. */
static bool
IsOption(const char *key)
{
	if (hash_param_find(own, key) != NULL || hash_param_find(TrainOptionsGeneral(), key) != NULL)
		return true;
	for (int i = 0; hash_method_at(i) != NULL; i++)
		if (hash_param_find(hash_method_at(i)->params, key) != NULL)
			return true;
	return false;
}

/* Whether an object of this name has options for a method, or for a variant that is asked for. */
static bool
IsVariant(List *asked, const char *key)
{
	ListCell *cell;

	foreach (cell, asked)
		if (strcmp(lfirst(cell), key) == 0)
			return true;
	return hash_method_find(key) != NULL;
}

/* Keys that nobody would look at. options: whole ones. */
static void
CheckKeys(Datum options)
{
	List *asked = Elements(options, "methods");
	JsonbIterator *iterator = JsonbIteratorInit(&DatumGetJsonbP(options)->root);
	JsonbIteratorToken token;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char *key;
		bool scalar;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&iterator, &value, true);
		scalar = value.type != jbvBinary;
		if (strcmp(key, "methods") == 0 || strcmp(key, "bits") == 0 || (scalar && IsOption(key)) ||
			(!scalar && JsonContainerIsObject(value.val.binary.data) && IsVariant(asked, key)))
			continue;
		if (IsOption(key))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" must be a number, a string or a boolean", key)));
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown option \"%s\" of a comparison", key),
			 errhint(
				 "Known options are: %s, those of eddh_train, and objects with such for a method or variant that is named.",
				 OwnKeys())));
	}
}

static void
CheckPlan(const ComparePlan *plan, const ModelBackbone *backbone)
{
	double seed = 0;

	if (plan->n_tasks == 0 || plan->n_bits == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("nothing to compare"),
						errhint("Name at least one method and one number of bits.")));
	for (int i = 0; i < plan->n_tasks; i++)
	{
		const hash_method *method = plan->tasks[i].method;
		TrainOptions *options = TrainOptionsRead(plan->tasks[i].options, method, true);
		eddh_error err;

		if (options->value[OPTION_TRAIN_LAYERS] != TRAIN_HASH)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("a comparison learns hash layers on features that are computed once"),
							errhint("To train more of the network, use eddh_train and eddh_evaluate.")));
		if (i == 0)
			seed = options->value[OPTION_SEED];
		if (options->value[OPTION_SEED] != seed)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("\"%s\" cannot have a seed of its own", plan->tasks[i].name),
							errdetail("Splits are the same for all methods, and so is the seed they begin at.")));
		for (int b = 0; b < plan->n_bits && method->check != NULL; b++)
			EDDH_CHECK(
				method->check(plan->bits[b], backbone->features, (int) options->value[OPTION_EPOCHS], false, &err),
				&err, method->name);
	}
}

Datum
eddh_compare(PG_FUNCTION_ARGS)
{
	static const char *const names[] = { "images", "image_column", "label_column", NULL, "bits" };
	Oid images;
	SubmitColumn image, label;
	ModelBackbone *backbone;
	ComparePlan *plan;
	Datum options;
	JobChange row = { 0 };
	int64 job;
	int trainings;

	SubmitRequirePrimary("eddh_compare()");
	for (int i = 0; i < lengthof(names); i++)
		if (names[i] != NULL && PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("argument \"%s\" must not be null", names[i])));
	images = PG_GETARG_OID(0);
	backbone = ModelFindBackbone(PG_ARGISNULL(5) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(5)));
	options = PG_ARGISNULL(6) ? EmptyObject() : PG_GETARG_DATUM(6);
	if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(options)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("options must be a JSON object"),
						errhint("For example: '{\"seeds\": 3, \"sdh\": {\"iterations\": 10}}'.")));
	options = WholeOptions(options, PG_ARGISNULL(3) ? NULL : PG_GETARG_ARRAYTYPE_P(3), PG_GETARG_ARRAYTYPE_P(4));
	CheckKeys(options);
	plan = ComparePlanRead(options);
	CheckPlan(plan, backbone);
	SubmitCheckRelation(images);
	image = SubmitFindColumn(images, NameStr(*PG_GETARG_NAME(1)));
	SubmitCheckImageColumn(images, &image);
	label = SubmitFindColumn(images, NameStr(*PG_GETARG_NAME(2)));
	SubmitCheckReadable(images, &image, &label);

	JobSetText(&row, JOB_KIND, JOB_KIND_COMPARE);
	JobSetText(&row, JOB_MODEL, NAME);
	JobSet(&row, JOB_IMAGES, ObjectIdGetDatum(images));
	JobSetText(&row, JOB_IMAGE_COLUMN, image.name);
	JobSetText(&row, JOB_LABEL_COLUMN, label.name);
	JobSetText(&row, JOB_BACKBONE, backbone->name);
	JobSet(&row, JOB_OPTIONS, options);
	job = SubmitJob(&row, NAME);
	trainings = plan->n_tasks * plan->n_bits * plan->seeds;
	ereport(NOTICE, (errmsg_plural("%d training begins when this transaction commits",
								   "%d trainings begin when this transaction commits", trainings, trainings),
					 errdetail("Methods: %d; lengths of codes: %d; splits of the pictures: %d.", plan->n_tasks,
							   plan->n_bits, plan->seeds)));
	PG_RETURN_INT64(job);
}
