/* labels.c: label columns to classes. */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "common/hashfn.h"
#include "model/labels.h"
#include "report.h"

#define MAX_BITMAP_BYTES ((size_t) 1 << 30)

typedef struct LabelEntry
{
	char *name; /* key: hashed and compared as text */
	int label;
} LabelEntry;

struct LabelDictionary
{
	MemoryContext context;
	HTAB *table;
	char **names;
	int count;
	int capacity;
};

typedef struct RowLabel
{
	uint32 row;
	uint32 label;
} RowLabel;

struct LabelRows
{
	MemoryContext context;
	LabelDictionary *dictionary;
	FmgrInfo output; /* of the scalar type */
	bool is_array;
	Oid element_type;
	int16 element_length;
	bool element_by_value;
	char element_align;
	MemoryContext row_context; /* reset after every row */
	size_t rows;
	size_t labelled;
	RowLabel *pairs;
	size_t count;
	size_t capacity;
};

static uint32
HashName(const void *key, Size size)
{
	const char *name = *(char *const *) key;

	return hash_bytes((const unsigned char *) name, strlen(name));
}

static int
MatchName(const void *a, const void *b, Size size)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

LabelDictionary *
LabelDictionaryCreate(void)
{
	LabelDictionary *dictionary = palloc0(sizeof(LabelDictionary));
	HASHCTL control = { .keysize = sizeof(char *),
						.entrysize = sizeof(LabelEntry),
						.hash = HashName,
						.match = MatchName,
						.hcxt = CurrentMemoryContext };

	dictionary->context = CurrentMemoryContext;
	dictionary->capacity = 64;
	dictionary->names = palloc(sizeof(char *) * dictionary->capacity);
	dictionary->table =
		hash_create("eddh labels", 256, &control, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	return dictionary;
}

int
LabelDictionaryCount(const LabelDictionary *dictionary)
{
	return dictionary->count;
}

const char *
LabelDictionaryName(const LabelDictionary *dictionary, int label)
{
	return dictionary->names[label];
}

static int
DictionaryNumber(LabelDictionary *dictionary, const char *name)
{
	bool found;
	LabelEntry *entry = hash_search(dictionary->table, &name, HASH_FIND, NULL);

	if (entry != NULL)
		return entry->label;
	if (dictionary->count >= LABEL_MAX_CLASSES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the label column has more than %d different labels", LABEL_MAX_CLASSES),
						errhint("A label names a kind of picture that many rows share. Is this column a key?")));
	if (dictionary->count == dictionary->capacity)
	{
		dictionary->capacity *= 2;
		dictionary->names = repalloc(dictionary->names, sizeof(char *) * dictionary->capacity);
	}
	name = MemoryContextStrdup(dictionary->context, name);
	entry = hash_search(dictionary->table, &name, HASH_ENTER, &found);
	entry->label = dictionary->count;
	dictionary->names[dictionary->count] = (char *) name;
	return dictionary->count++;
}

LabelRows *
LabelRowsCreate(LabelDictionary *dictionary, Oid column_type)
{
	LabelRows *rows = palloc0(sizeof(LabelRows));
	Oid base = getBaseType(column_type);
	Oid element = get_element_type(base);
	Oid output;
	bool is_varlena;

	rows->context = CurrentMemoryContext;
	rows->dictionary = dictionary;
	rows->is_array = OidIsValid(element);
	if (rows->is_array)
	{
		rows->element_type = element;
		get_typlenbyvalalign(element, &rows->element_length, &rows->element_by_value, &rows->element_align);
	}
	getTypeOutputInfo(rows->is_array ? element : base, &output, &is_varlena);
	fmgr_info(output, &rows->output);
	rows->row_context = AllocSetContextCreate(CurrentMemoryContext, "eddh label row", ALLOCSET_DEFAULT_SIZES);
	rows->capacity = 1024;
	rows->pairs = palloc(sizeof(RowLabel) * rows->capacity);
	return rows;
}

static void
AddPair(LabelRows *rows, Datum value)
{
	char *name = OutputFunctionCall(&rows->output, value);

	if (rows->count == rows->capacity)
	{
		rows->capacity *= 2;
		rows->pairs = repalloc_huge(rows->pairs, sizeof(RowLabel) * rows->capacity);
	}
	rows->pairs[rows->count].row = (uint32) rows->rows;
	rows->pairs[rows->count].label = (uint32) DictionaryNumber(rows->dictionary, name);
	rows->count++;
}

int
LabelRowsAdd(LabelRows *rows, Datum value, bool isnull)
{
	MemoryContext caller = MemoryContextSwitchTo(rows->row_context);
	size_t before = rows->count;

	if (rows->rows >= PG_UINT32_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("more rows than can be numbered")));
	if (!isnull && rows->is_array)
	{
		Datum *elements;
		bool *nulls;
		int n;

		deconstruct_array(DatumGetArrayTypeP(value), rows->element_type, rows->element_length, rows->element_by_value,
						  rows->element_align, &elements, &nulls, &n);
		for (int i = 0; i < n; i++)
			if (!nulls[i])
				AddPair(rows, elements[i]);
	}
	else if (!isnull)
		AddPair(rows, value);
	rows->rows++;
	if (rows->count > before)
		rows->labelled++;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(rows->row_context);
	return (int) (rows->count - before);
}

size_t
LabelRowsCount(const LabelRows *rows)
{
	return rows->rows;
}

size_t
LabelRowsLabelled(const LabelRows *rows)
{
	return rows->labelled;
}

typedef struct LabelsHolder
{
	hash_labels *labels;
} LabelsHolder;

static void
FreeLabels(void *arg)
{
	hash_labels_free(((LabelsHolder *) arg)->labels);
}

eddh_code
LabelRowsFinish(LabelRows *rows, const eddh_bulk *bulk, hash_labels **out, eddh_error *err)
{
	LabelsHolder *holder = palloc0(sizeof(LabelsHolder));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));
	int classes = Max(rows->dictionary->count, 1);
	size_t bytes;
	eddh_code code;

	if (!eddh_size_mul(rows->rows, ((size_t) classes + 63) / 64 * sizeof(uint64), &bytes) || bytes > MAX_BITMAP_BYTES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("%zu rows with %d different labels need more than %zu MB", rows->rows, classes,
							   MAX_BITMAP_BYTES >> 20),
						errhint("A label names a kind of picture that many rows share. Is this column a key?")));
	callback->func = FreeLabels;
	callback->arg = holder;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	code = hash_labels_create(bulk, rows->rows, classes, &holder->labels, err);
	if (code != EDDH_OK)
		return code;
	for (size_t i = 0; i < rows->count; i++)
		hash_labels_add(holder->labels, rows->pairs[i].row, (int) rows->pairs[i].label);
	pfree(rows->pairs);
	rows->pairs = NULL;
	*out = holder->labels;
	return hash_labels_finish(holder->labels, err);
}
