/* models.c: models: finding, storing, importing, exporting, renaming, dropping. */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_type_d.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "hash/hash.h"
#include "model/admin.h"
#include "model/cache.h"
#include "model/catalog.h"
#include "model/exchange.h"
#include "model/metadata.h"
#include "model/model.h"
#include "report.h"

static ModelInfo *
FromTuple(HeapTuple tuple, Relation relation)
{
	ModelInfo *model = palloc0(sizeof(ModelInfo));

	model->id = ModelTupleInt64(tuple, relation, MODEL_ID);
	model->name = ModelTupleText(tuple, relation, MODEL_NAME);
	model->owner = ModelTupleText(tuple, relation, MODEL_OWNER);
	model->backbone = ModelTupleInt64(tuple, relation, MODEL_BACKBONE);
	model->cut = ModelTupleText(tuple, relation, MODEL_CUT);
	model->method = ModelTupleText(tuple, relation, MODEL_METHOD);
	model->bits = ModelTupleInt32(tuple, relation, MODEL_BITS);
	ModelTupleSha(tuple, relation, MODEL_SHA, model->sha);
	return model;
}

static void
UnknownModel(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name),
					errhint("%s", ModelListUsable(MODEL_TABLE_MODEL))));
}

ModelInfo *
ModelFind(const char *name, bool missing_ok)
{
	Relation relation;
	Snapshot snapshot;
	HeapTuple tuple;
	ModelInfo *model = NULL;

	if (name == NULL)
		name = ModelSettingModel != NULL ? ModelSettingModel : "";
	if (name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("no model is named"),
						errhint("Name one as an argument, or set eddh.model. %s", ModelListUsable(MODEL_TABLE_MODEL))));

	relation = ModelOpen(MODEL_TABLE_MODEL, AccessShareLock);
	snapshot = ModelReadSnapshot();
	tuple = ModelRowByName(relation, MODEL_TABLE_MODEL, name, snapshot);
	if (HeapTupleIsValid(tuple))
	{
		model = FromTuple(tuple, relation);
		if (!ModelMayUse(model->id, model->owner, snapshot))
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for model \"%s\"", name),
							errhint("Its owner can grant it: SELECT eddh_grant_model(%s, %s);",
									quote_literal_cstr(name), quote_literal_cstr(ModelCurrentRole()))));
	}
	else if (!missing_ok)
		UnknownModel(name);
	ModelReleaseSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	return model;
}

/* The row as committed now, for who holds the name's lock; 42704 or, unless the caller is its owner, 42501. */
static HeapTuple
OwnedRow(Relation relation, const char *name, ModelInfo **model)
{
	Snapshot snapshot = ModelWriteSnapshot();
	HeapTuple tuple = ModelRowByName(relation, MODEL_TABLE_MODEL, name, snapshot);

	if (!HeapTupleIsValid(tuple))
		UnknownModel(name);
	*model = FromTuple(tuple, relation);
	ModelCheckOwner("model", name, (*model)->owner);
	ModelReleaseSnapshot(snapshot);
	return tuple;
}

static void
NameTaken(const char *name)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("model \"%s\" already exists", name),
		 errhint(
			 "Choose another name, or drop it with eddh_drop_model. Training and importing also have the option {\"replace\": true}.")));
}

void
ModelCheckNewName(const char *name, bool replace)
{
	Relation relation;
	Snapshot snapshot;
	HeapTuple tuple;

	ModelCheckName("model", name);
	relation = ModelOpen(MODEL_TABLE_MODEL, AccessShareLock);
	snapshot = ModelWriteSnapshot();
	tuple = ModelRowByName(relation, MODEL_TABLE_MODEL, name, snapshot);
	if (HeapTupleIsValid(tuple))
	{
		if (!replace)
			NameTaken(name);
		ModelCheckOwner("model", name, ModelTupleText(tuple, relation, MODEL_OWNER));
	}
	ModelReleaseSnapshot(snapshot);
	table_close(relation, AccessShareLock);
}

/* Is this trunk still wanted by a model? */
static bool
TrunkIsUsed(Relation relation, const ModelInfo *by, Snapshot snapshot)
{
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, snapshot, 0, NULL);
	bool used = false;
	HeapTuple tuple;

	while (!used && HeapTupleIsValid(tuple = systable_getnext(scan)))
		if (ModelTupleInt64(tuple, relation, MODEL_BACKBONE) == by->backbone &&
			ModelTupleInt64(tuple, relation, MODEL_ID) != by->id)
		{
			char *cut = ModelTupleText(tuple, relation, MODEL_CUT);

			used = cut != NULL && strcmp(cut, by->cut) == 0;
		}
	systable_endscan(scan);
	return used;
}

/* Forgets the weights of a model that is about to go, and those of its trunk if no other model has it. */
static void
ForgetWeights(Relation relation, const ModelInfo *model)
{
	ModelCacheForget(model->sha, NULL);
	if (model->cut != NULL && model->cut[0] != '\0')
	{
		Snapshot snapshot = ModelWriteSnapshot();
		ModelBackbone *backbone;

		PushActiveSnapshot(snapshot);
		backbone = ModelGetBackbone(model->backbone);
		if (backbone != NULL && !TrunkIsUsed(relation, model, snapshot))
			ModelCacheForget(backbone->sha, model->cut);
		PopActiveSnapshot();
		ModelReleaseSnapshot(snapshot);
	}
	ModelDeleteChunks(model->id);
}

/* The graph that is stored: the head; or, where the weights below it have no row of their own, all of the network. */
static const nn_graph *
StoredGraph(ModelNew *model, const char **cut)
{
	nn_graph *graph = model->head;
	eddh_error err;

	*cut = model->cut;
	if (model->backbone == NULL)
		return graph;
	if (*cut != NULL && model->backbone->output != NULL && strcmp(*cut, model->backbone->output) == 0)
		*cut = ""; /* so that eddh_features and all such models share one mapping */
	if (model->backbone->builtin && model->cut != NULL)
	{
		ModelGraphHolder *holder = ModelHoldGraph();

		EDDH_CHECK(nn_graph_join(model->trunk, graph, &holder->graph, &err), &err, "cannot join trunk and head");
		graph = holder->graph;
		*cut = NULL;
	}
	if (*cut == NULL)
		ModelPrepToGraph(&model->backbone->prep, graph);
	return graph;
}

static Datum
ClassesDatum(const ModelNew *model)
{
	Datum *elements = palloc(sizeof(Datum) * Max(model->nclasses, 1));

	for (int i = 0; i < model->nclasses; i++)
		elements[i] = CStringGetTextDatum(model->classes[i]);
	return PointerGetDatum(construct_array(elements, model->nclasses, TEXTOID, -1, false, TYPALIGN_INT));
}

/* A backbone that is referred to must not be dropped before we commit. */
static void
PinBackbone(const ModelBackbone *backbone)
{
	Relation relation;
	Snapshot snapshot;

	if (backbone->builtin)
		return;
	ModelLockName(MODEL_TABLE_BACKBONE, backbone->name, ShareLock);
	relation = ModelOpen(MODEL_TABLE_BACKBONE, AccessShareLock);
	snapshot = ModelWriteSnapshot();
	if (!HeapTupleIsValid(ModelRowById(relation, MODEL_TABLE_BACKBONE, backbone->id, snapshot)))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("backbone \"%s\" was dropped in the meantime", backbone->name)));
	ModelReleaseSnapshot(snapshot);
	table_close(relation, AccessShareLock);
}

int64
ModelStore(ModelNew *model)
{
	Relation relation;
	Snapshot snapshot;
	HeapTuple old;
	HeapTuple tuple;
	ModelImported stored;
	const char *cut;
	const nn_graph *graph = StoredGraph(model, &cut);
	Datum values[MODEL_COLUMNS];
	bool nulls[MODEL_COLUMNS] = { false };
	int64 id;

	if (nn_graph_output_shape(graph).count != model->bits)
		elog(ERROR, "a head of %zu outputs for a model of %d bits", nn_graph_output_shape(graph).count, model->bits);
	if (cut != NULL && !pg_verify_mbstr(GetDatabaseEncoding(), cut, strlen(cut), true))
		ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
						errmsg("the tensor at which the backbone is cut has a name that is no text in this database"),
						errhint("Train the hash layer alone, or rename the tensors of the file and import it again.")));
	ModelSerialise(graph, &stored);
	if (model->backbone != NULL)
		PinBackbone(model->backbone);

	ModelLockName(MODEL_TABLE_MODEL, model->name, ExclusiveLock);
	ModelCheckNewName(model->name, model->replace);
	relation = ModelOpen(MODEL_TABLE_MODEL, RowExclusiveLock);
	snapshot = ModelWriteSnapshot();
	old = ModelRowByName(relation, MODEL_TABLE_MODEL, model->name, snapshot);
	ModelReleaseSnapshot(snapshot);
	id = HeapTupleIsValid(old) ? ModelTupleInt64(old, relation, MODEL_ID) : ModelNextId();

	values[MODEL_ID - 1] = Int64GetDatum(id);
	values[MODEL_NAME - 1] = CStringGetTextDatum(model->name);
	/* A replaced model stays its owner's, also where a member of the owning role replaced it. */
	values[MODEL_OWNER - 1] =
		CStringGetTextDatum(HeapTupleIsValid(old) ? ModelTupleText(old, relation, MODEL_OWNER) : ModelCurrentRole());
	nulls[MODEL_BACKBONE - 1] = model->backbone == NULL;
	values[MODEL_BACKBONE - 1] = Int64GetDatum(model->backbone == NULL ? 0 : model->backbone->id);
	nulls[MODEL_CUT - 1] = cut == NULL;
	values[MODEL_CUT - 1] = cut == NULL ? (Datum) 0 : CStringGetTextDatum(cut);
	values[MODEL_SHA - 1] = ModelShaDatum(stored.sha);
	values[MODEL_METHOD - 1] = CStringGetTextDatum(model->method);
	values[MODEL_BITS - 1] = Int32GetDatum(model->bits);
	values[MODEL_CLASSES - 1] = ClassesDatum(model);
	values[MODEL_IMAGES - 1] = Int64GetDatum(model->images);
	values[MODEL_OPTIONS - 1] =
		DirectFunctionCall1(jsonb_in, CStringGetDatum(model->options != NULL ? model->options : "{}"));
	values[MODEL_SEED - 1] = Int64GetDatum(model->seed);
	values[MODEL_KERNEL - 1] = CStringGetTextDatum(nn_blas_name());
	nulls[MODEL_QUALITY - 1] = isnan(model->quality);
	values[MODEL_QUALITY - 1] = Float8GetDatum(model->quality);
	values[MODEL_BYTES - 1] = Int64GetDatum(stored.onnx.len);
	values[MODEL_CREATED - 1] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	tuple = heap_form_tuple(RelationGetDescr(relation), values, nulls);
	if (HeapTupleIsValid(old))
	{
		ForgetWeights(relation, FromTuple(old, relation));
		CatalogTupleUpdate(relation, &old->t_self, tuple);
	}
	else
		CatalogTupleInsert(relation, tuple);
	CommandCounterIncrement();
	ModelWriteChunks(id, stored.onnx.bytes, stored.onnx.len);
	table_close(relation, NoLock);
	CommandCounterIncrement();
	return id;
}

int64
ModelImport(const char *name, const uint8 *onnx, size_t len, Jsonb *options)
{
	static const char *const allowed[] = { "input_size", "resize", "resize_short", "channels",
										   "mean",       "std",    "replace",      NULL };
	ModelImported imported;
	nn_graph *graph;
	char *replace;
	const char *method;
	size_t bits;
	ModelNew model = { .name = name, .quality = NAN };

	ModelPreventReadOnly("eddh_import_model()");
	ModelCheckOptionNames(options, allowed);
	replace = ModelJsonbText(options, "replace");
	model.replace = replace != NULL && strcmp(replace, "true") == 0;
	ModelCheckNewName(name, model.replace);
	graph = ModelReadImport(onnx, len, options, false, &imported);
	bits = nn_graph_output_shape(graph).count;
	if (bits < HASH_BITS_MIN || bits > HASH_BITS_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the network has %zu outputs", bits),
						errdetail("A model has %d to %d: bit j of a code is 1 where output j is 0 or more.",
								  HASH_BITS_MIN, HASH_BITS_MAX),
						errhint("A network without a hash layer is a backbone: eddh_import_backbone.")));
	model.bits = (int) bits;
	model.head = graph;
	method = nn_graph_metadata(graph, "eddh.method");
	model.method = method != NULL && hash_method_find(method) != NULL ? method : "imported";
	return ModelStore(&model);
}

/* Trunk and head as one graph, held by the current memory context. */
static nn_graph *
WholeGraph(const ModelInfo *model)
{
	ModelGraphHolder *cut = ModelHoldGraph();
	nn_graph *head = ModelReadNetwork(model->id, model->sha, psprintf("model \"%s\"", model->name));
	ModelBackbone *backbone;
	nn_graph *trunk;
	eddh_error err;

	if (model->cut == NULL)
		return head;
	backbone = ModelGetBackbone(model->backbone);
	if (backbone == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("the backbone of model \"%s\" is missing from eddh_catalog.backbone", model->name)));
	trunk = ModelReadBackbone(backbone, ModelBuiltinSeed);
	if (model->cut[0] != '\0')
	{
		EDDH_CHECK(nn_graph_cut(trunk, model->cut, &cut->graph, NULL, &err), &err, "cannot cut the backbone");
		trunk = cut->graph;
	}
	EDDH_CHECK(nn_graph_append(trunk, head, &err), &err, "cannot join trunk and head");
	return trunk;
}

static bytea *
ByteaOf(const ModelImported *exported)
{
	bytea *result;

	if (exported->onnx.len > MaxAllocSize - VARHDRSZ)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the network has %zu bytes, more than a bytea can hold", exported->onnx.len)));
	result = palloc(VARHDRSZ + exported->onnx.len);
	SET_VARSIZE(result, VARHDRSZ + exported->onnx.len);
	memcpy(VARDATA(result), exported->onnx.bytes, exported->onnx.len);
	return result;
}

bytea *
ModelExport(const ModelInfo *model)
{
	nn_graph *graph = WholeGraph(model);
	ModelImported exported;
	eddh_error err;

	EDDH_CHECK(nn_graph_name_output(graph, "code_logits", &err), &err, NULL);
	ModelSetMetadata(graph, "eddh.method", model->method);
	ModelSetMetadata(graph, "eddh.bits", psprintf("%d", model->bits));
	ModelSetMetadata(graph, "eddh.code", "bit j = (code_logits[j] >= 0)");
	ModelSerialise(graph, &exported);
	return ByteaOf(&exported);
}

bytea *
ModelExportBackbone(const ModelBackbone *backbone)
{
	nn_graph *graph = ModelReadBackbone(backbone, ModelBuiltinSeed);
	ModelImported exported;
	eddh_error err;

	EDDH_CHECK(nn_graph_name_output(graph, "features", &err), &err, NULL);
	ModelPrepToGraph(&backbone->prep, graph);
	ModelSerialise(graph, &exported);
	return ByteaOf(&exported);
}

void
ModelRename(const char *from, const char *to)
{
	Relation relation;
	HeapTuple tuple;
	ModelInfo *model;
	Datum values[MODEL_COLUMNS];
	bool nulls[MODEL_COLUMNS] = { false };
	bool replaces[MODEL_COLUMNS] = { false };

	ModelPreventReadOnly("eddh_rename_model()");
	/* In one order, or two who rename towards each other would wait for each other. */
	ModelLockName(MODEL_TABLE_MODEL, strcmp(from, to) < 0 ? from : to, ExclusiveLock);
	ModelLockName(MODEL_TABLE_MODEL, strcmp(from, to) < 0 ? to : from, ExclusiveLock);
	relation = ModelOpen(MODEL_TABLE_MODEL, RowExclusiveLock);
	tuple = OwnedRow(relation, from, &model);
	ModelCheckNewName(to, false);
	values[MODEL_NAME - 1] = CStringGetTextDatum(to);
	replaces[MODEL_NAME - 1] = true;
	CatalogTupleUpdate(relation, &tuple->t_self,
					   heap_modify_tuple(tuple, RelationGetDescr(relation), values, nulls, replaces));
	table_close(relation, NoLock);
	CommandCounterIncrement();
}

void
ModelDrop(const char *name)
{
	Relation relation;
	HeapTuple tuple;
	ModelInfo *model;

	ModelPreventReadOnly("eddh_drop_model()");
	ModelLockName(MODEL_TABLE_MODEL, name, ExclusiveLock);
	relation = ModelOpen(MODEL_TABLE_MODEL, RowExclusiveLock);
	tuple = OwnedRow(relation, name, &model);
	ForgetWeights(relation, model);
	ModelDeleteGrants(model->id);
	CatalogTupleDelete(relation, &tuple->t_self);
	table_close(relation, NoLock);
	CommandCounterIncrement();
}
