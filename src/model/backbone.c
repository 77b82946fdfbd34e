/* backbone.c: backbones: finding, reading, importing, dropping. */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "model/admin.h"
#include "model/cache.h"
#include "model/catalog.h"
#include "model/exchange.h"
#include "model/metadata.h"
#include "model/model.h"
#include "report.h"

static ModelBackbone *
FromTuple(HeapTuple tuple, Relation relation)
{
	ModelBackbone *backbone = palloc0(sizeof(ModelBackbone));
	bool isnull;
	Datum metadata;
	eddh_error err;

	backbone->id = ModelTupleInt64(tuple, relation, BACKBONE_ID);
	backbone->name = ModelTupleText(tuple, relation, BACKBONE_NAME);
	backbone->owner = ModelTupleText(tuple, relation, BACKBONE_OWNER);
	backbone->builtin = ModelTupleBool(tuple, relation, BACKBONE_BUILTIN);
	backbone->trained = ModelTupleBool(tuple, relation, BACKBONE_TRAINED);
	backbone->features = ModelTupleInt32(tuple, relation, BACKBONE_FEATURES);
	backbone->parameters = ModelTupleInt64(tuple, relation, BACKBONE_PARAMETERS);
	backbone->macs = ModelTupleInt64(tuple, relation, BACKBONE_MACS);
	backbone->output = ModelTupleText(tuple, relation, BACKBONE_OUTPUT);
	ModelTupleSha(tuple, relation, BACKBONE_SHA, backbone->sha);
	metadata = heap_getattr(tuple, BACKBONE_METADATA, RelationGetDescr(relation), &isnull);
	if (isnull || ModelPrepFromJsonb(DatumGetJsonbP(metadata), &backbone->prep, &err) != EDDH_OK)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED), errmsg("the metadata of backbone \"%s\" are damaged", backbone->name),
				 isnull ? 0 : errdetail("%s.", err.message)));
	return backbone;
}

static void
UnknownBackbone(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("backbone \"%s\" does not exist", name),
					errhint("%s", ModelListUsable(MODEL_TABLE_BACKBONE))));
}

ModelBackbone *
ModelFindBackbone(const char *name)
{
	Relation relation = ModelOpen(MODEL_TABLE_BACKBONE, AccessShareLock);
	Snapshot snapshot = ModelReadSnapshot();
	ModelBackbone *backbone;
	HeapTuple tuple;

	if (name == NULL)
		name = ModelSettingBackbone != NULL && ModelSettingBackbone[0] != '\0' ? ModelSettingBackbone
																			   : MODEL_DEFAULT_BACKBONE;
	tuple = ModelRowByName(relation, MODEL_TABLE_BACKBONE, name, snapshot);
	if (!HeapTupleIsValid(tuple))
		UnknownBackbone(name);
	backbone = FromTuple(tuple, relation);
	if (!ModelMayUse(backbone->id, backbone->owner, snapshot))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for backbone \"%s\"", name),
						errhint("Its owner can grant it: SELECT eddh_grant_backbone(%s, %s);", quote_literal_cstr(name),
								quote_literal_cstr(ModelCurrentRole()))));
	ModelReleaseSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	return backbone;
}

ModelBackbone *
ModelGetBackbone(int64 id)
{
	Relation relation = ModelOpen(MODEL_TABLE_BACKBONE, AccessShareLock);
	Snapshot snapshot = ModelReadSnapshot();
	HeapTuple tuple = ModelRowById(relation, MODEL_TABLE_BACKBONE, id, snapshot);
	ModelBackbone *backbone = HeapTupleIsValid(tuple) ? FromTuple(tuple, relation) : NULL;

	ModelReleaseSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	return backbone;
}

nn_graph *
ModelReadBackbone(const ModelBackbone *backbone, uint64 seed)
{
	nn_graph *graph;
	ModelGraphHolder *holder;
	char *what = psprintf("backbone \"%s\"", backbone->name);
	eddh_error err;

	if (!backbone->builtin)
		return ModelReadNetwork(backbone->id, backbone->sha, what);

	if (strcmp(backbone->name, "photo") == 0)
		graph = ModelReadShipped("eddh_photo.onnx", backbone->sha, what);
	else
	{
		holder = ModelHoldGraph();
		if (strcmp(backbone->name, "cnn-f") == 0)
			EDDH_CHECK(nn_graph_cnn_f(seed, &holder->graph, &err), &err, what);
		else if (strcmp(backbone->name, "cnn-s") == 0)
			EDDH_CHECK(nn_graph_cnn_s(seed, &holder->graph, &err), &err, what);
		else
			elog(ERROR, "%s is built in, but not in this library", what);
		graph = holder->graph;
	}
	if (nn_graph_output_shape(graph).count != backbone->features ||
		nn_graph_parameters(graph) != backbone->parameters || nn_graph_macs(graph) != backbone->macs)
		elog(
			ERROR,
			"the row of %s in eddh_catalog.backbone contradicts this library: %zu features, %zu parameters, " UINT64_FORMAT
			" macs",
			what, nn_graph_output_shape(graph).count, nn_graph_parameters(graph), (uint64) nn_graph_macs(graph));
	return graph;
}

int64
ModelImportBackbone(const char *name, const uint8 *onnx, size_t len, Jsonb *options)
{
	static const char *const allowed[] = { "cut", "input_size", "resize", "resize_short", "channels", "mean",
										   "std", "trained",    NULL };
	ModelImported imported;
	Relation relation;
	Snapshot snapshot;
	Datum values[BACKBONE_COLUMNS];
	bool nulls[BACKBONE_COLUMNS] = { false };
	nn_graph *graph;
	const char *output;
	char *trained;
	int64 id;

	ModelPreventReadOnly("eddh_import_backbone()");
	ModelCheckName("backbone", name);
	ModelCheckOptionNames(options, allowed);
	trained = ModelJsonbText(options, "trained");
	if (trained != NULL && strcmp(trained, "true") != 0 && strcmp(trained, "false") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("option \"trained\" must be true or false")));
	graph = ModelReadImport(onnx, len, options, true, &imported);
	output = ModelOutputName(graph);

	ModelLockName(MODEL_TABLE_BACKBONE, name, ExclusiveLock);
	relation = ModelOpen(MODEL_TABLE_BACKBONE, RowExclusiveLock);
	snapshot = ModelWriteSnapshot();
	if (HeapTupleIsValid(ModelRowByName(relation, MODEL_TABLE_BACKBONE, name, snapshot)))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("backbone \"%s\" already exists", name),
						errhint("Choose another name; eddh_drop_backbone removes a backbone of yours.")));
	ModelReleaseSnapshot(snapshot);

	id = ModelNextId();
	values[BACKBONE_ID - 1] = Int64GetDatum(id);
	values[BACKBONE_NAME - 1] = CStringGetTextDatum(name);
	values[BACKBONE_OWNER - 1] = CStringGetTextDatum(ModelCurrentRole());
	values[BACKBONE_SHA - 1] = ModelShaDatum(imported.sha);
	values[BACKBONE_BYTES - 1] = Int64GetDatum(imported.onnx.len);
	values[BACKBONE_INPUT_SIZE - 1] = Int32GetDatum(imported.prep.size);
	values[BACKBONE_FEATURES - 1] = Int32GetDatum(nn_graph_output_shape(graph).count);
	values[BACKBONE_PARAMETERS - 1] = Int64GetDatum(nn_graph_parameters(graph));
	values[BACKBONE_MACS - 1] = Int64GetDatum(nn_graph_macs(graph));
	values[BACKBONE_TRAINED - 1] = BoolGetDatum(trained == NULL || strcmp(trained, "true") == 0);
	values[BACKBONE_BUILTIN - 1] = BoolGetDatum(false);
	values[BACKBONE_METADATA - 1] = JsonbPGetDatum(ModelGraphMetadata(graph));
	values[BACKBONE_CREATED - 1] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	nulls[BACKBONE_OUTPUT - 1] = !pg_verify_mbstr(GetDatabaseEncoding(), output, strlen(output), true);
	values[BACKBONE_OUTPUT - 1] = nulls[BACKBONE_OUTPUT - 1] ? (Datum) 0 : CStringGetTextDatum(output);
	CatalogTupleInsert(relation, heap_form_tuple(RelationGetDescr(relation), values, nulls));
	ModelWriteChunks(id, imported.onnx.bytes, imported.onnx.len);
	table_close(relation, NoLock);
	CommandCounterIncrement();
	return id;
}

/* Names of the models that need this backbone, or NULL; counts those the caller may not see without naming them. */
static char *
Dependents(int64 backbone, Snapshot snapshot)
{
	Relation relation = ModelOpen(MODEL_TABLE_MODEL, AccessShareLock);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, snapshot, 0, NULL);
	StringInfoData list;
	HeapTuple tuple;
	int others = 0;

	initStringInfo(&list);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (ModelTupleInt64(tuple, relation, MODEL_BACKBONE) != backbone)
			continue;
		if (ModelMayUse(ModelTupleInt64(tuple, relation, MODEL_ID), ModelTupleText(tuple, relation, MODEL_OWNER),
						snapshot))
			appendStringInfo(&list, "%s\"%s\"", list.len > 0 ? ", " : "", ModelTupleText(tuple, relation, MODEL_NAME));
		else
			others++;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	if (others > 0)
		appendStringInfo(&list, "%s%d of other roles", list.len > 0 ? " and " : "", others);
	return list.len > 0 ? list.data : NULL;
}

void
ModelDropBackbone(const char *name)
{
	Relation relation;
	Snapshot snapshot;
	HeapTuple tuple;
	ModelBackbone *backbone;
	char *dependents;

	ModelPreventReadOnly("eddh_drop_backbone()");
	ModelLockName(MODEL_TABLE_BACKBONE, name, ExclusiveLock);
	relation = ModelOpen(MODEL_TABLE_BACKBONE, RowExclusiveLock);
	snapshot = ModelWriteSnapshot();
	tuple = ModelRowByName(relation, MODEL_TABLE_BACKBONE, name, snapshot);
	if (!HeapTupleIsValid(tuple))
		UnknownBackbone(name);
	backbone = FromTuple(tuple, relation);
	if (backbone->builtin)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("backbone \"%s\" is built in and cannot be dropped", name)));
	ModelCheckOwner("backbone", name, backbone->owner);
	dependents = Dependents(backbone->id, snapshot);
	if (dependents != NULL)
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("cannot drop backbone \"%s\" because models are built on it", name),
						errdetail("Models: %s.", dependents), errhint("Drop them with eddh_drop_model first.")));
	ModelReleaseSnapshot(snapshot);
	CatalogTupleDelete(relation, &tuple->t_self);
	table_close(relation, NoLock);
	ModelDeleteGrants(backbone->id);
	ModelDeleteChunks(backbone->id);
	ModelCacheForget(backbone->sha, NULL);
	CommandCounterIncrement();
}
