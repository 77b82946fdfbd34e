/* admin.c: models and backbones in and out, and who may use them. */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "model/admin.h"
#include "model/model.h"

PG_FUNCTION_INFO_V1(eddh_has_role);
PG_FUNCTION_INFO_V1(eddh_drop_model);
PG_FUNCTION_INFO_V1(eddh_rename_model);
PG_FUNCTION_INFO_V1(eddh_grant_model);
PG_FUNCTION_INFO_V1(eddh_revoke_model);
PG_FUNCTION_INFO_V1(eddh_import_model);
PG_FUNCTION_INFO_V1(eddh_export_model);
PG_FUNCTION_INFO_V1(eddh_import_backbone);
PG_FUNCTION_INFO_V1(eddh_export_backbone);
PG_FUNCTION_INFO_V1(eddh_drop_backbone);
PG_FUNCTION_INFO_V1(eddh_grant_backbone);
PG_FUNCTION_INFO_V1(eddh_revoke_backbone);

#define TEXT_ARGUMENT(i) text_to_cstring(PG_GETARG_TEXT_PP(i))
#define ROLE_ARGUMENT(i) NameStr(*PG_GETARG_NAME(i))

Datum
eddh_has_role(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(ModelHasRole(TEXT_ARGUMENT(0)));
}

Datum
eddh_drop_model(PG_FUNCTION_ARGS)
{
	ModelDrop(TEXT_ARGUMENT(0));
	PG_RETURN_VOID();
}

Datum
eddh_rename_model(PG_FUNCTION_ARGS)
{
	ModelRename(TEXT_ARGUMENT(0), TEXT_ARGUMENT(1));
	PG_RETURN_VOID();
}

Datum
eddh_grant_model(PG_FUNCTION_ARGS)
{
	ModelGrant(false, TEXT_ARGUMENT(0), ROLE_ARGUMENT(1));
	PG_RETURN_VOID();
}

Datum
eddh_revoke_model(PG_FUNCTION_ARGS)
{
	ModelRevoke(false, TEXT_ARGUMENT(0), ROLE_ARGUMENT(1));
	PG_RETURN_VOID();
}

Datum
eddh_import_model(PG_FUNCTION_ARGS)
{
	bytea *onnx = PG_GETARG_BYTEA_PP(1);

	ModelImport(TEXT_ARGUMENT(0), (const uint8 *) VARDATA_ANY(onnx), VARSIZE_ANY_EXHDR(onnx), PG_GETARG_JSONB_P(2));
	PG_RETURN_VOID();
}

Datum
eddh_export_model(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(ModelExport(ModelFind(TEXT_ARGUMENT(0), false)));
}

Datum
eddh_import_backbone(PG_FUNCTION_ARGS)
{
	bytea *onnx = PG_GETARG_BYTEA_PP(1);

	ModelImportBackbone(TEXT_ARGUMENT(0), (const uint8 *) VARDATA_ANY(onnx), VARSIZE_ANY_EXHDR(onnx),
						PG_GETARG_JSONB_P(2));
	PG_RETURN_VOID();
}

Datum
eddh_export_backbone(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(ModelExportBackbone(ModelFindBackbone(TEXT_ARGUMENT(0))));
}

Datum
eddh_drop_backbone(PG_FUNCTION_ARGS)
{
	ModelDropBackbone(TEXT_ARGUMENT(0));
	PG_RETURN_VOID();
}

Datum
eddh_grant_backbone(PG_FUNCTION_ARGS)
{
	ModelGrant(true, TEXT_ARGUMENT(0), ROLE_ARGUMENT(1));
	PG_RETURN_VOID();
}

Datum
eddh_revoke_backbone(PG_FUNCTION_ARGS)
{
	ModelRevoke(true, TEXT_ARGUMENT(0), ROLE_ARGUMENT(1));
	PG_RETURN_VOID();
}
