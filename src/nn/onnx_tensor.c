/* onnx_tensor.c: ONNX tensors as constants: where their elements are, and what they are as floats. */
#include "nn/onnx.h"

#include <string.h>

#include "nn/half.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ONNX's raw_data is little-endian; add byte swapping here before building for another order"
#endif

static size_t
width_of(int type)
{
	switch (type)
	{
		case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
		case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
			return 4;
		case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
			return 2;
		case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
		case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
			return 8;
		default:
			return 0;
	}
}

bool
nn_onnx_is_real(const onnx_constant *constant)
{
	return constant->type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
		   constant->type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ||
		   constant->type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
}

/* The typed field that belongs to the type; *n its length. */
static bool
typed_storage(const Onnx__TensorProto *tensor, onnx_constant *out, size_t *n)
{
	switch (out->type)
	{
		case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
			out->floats = tensor->float_data;
			*n = tensor->n_float_data;
			return true;
		case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
			out->doubles = tensor->double_data;
			*n = tensor->n_double_data;
			return true;
		case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
		case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
			out->halves = tensor->int32_data;
			*n = tensor->n_int32_data;
			return true;
		case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
			out->ints = tensor->int64_data;
			*n = tensor->n_int64_data;
			return true;
		default:
			return false;
	}
}

eddh_code
nn_onnx_constant(const Onnx__TensorProto *tensor, onnx_constant *out, eddh_error *err)
{
	size_t n = 0;

	memset(out, 0, sizeof(*out));
	out->type = tensor->data_type;
	out->count = 1;
	if (width_of(out->type) == 0)
		return eddh_fail(err, EDDH_UNSUPPORTED,
						 "tensor of data type %d; float, float16, double, int32 and int64 are read", out->type);
	if (tensor->n_external_data > 0 || (tensor->has_data_location && tensor->data_location != 0))
		return eddh_fail(err, EDDH_UNSUPPORTED, "tensor kept in another file");
	if (tensor->segment != NULL)
		return eddh_fail(err, EDDH_UNSUPPORTED, "tensor in segments");
	if (tensor->n_dims > NN_ONNX_MAX_DIMS)
		return eddh_fail(err, EDDH_UNSUPPORTED, "tensor of %zu dimensions", tensor->n_dims);
	out->ndim = (int) tensor->n_dims;
	for (size_t i = 0; i < tensor->n_dims; i++)
	{
		out->dim[i] = tensor->dims[i];
		if (out->dim[i] < 0 || out->dim[i] > INT32_MAX || !eddh_size_mul(out->count, (size_t) out->dim[i], &out->count))
			return eddh_fail(err, EDDH_BAD_DATA, "tensor with a dimension of %lld", (long long) out->dim[i]);
	}
	if (tensor->has_raw_data)
	{
		size_t bytes;

		if (!eddh_size_mul(out->count, width_of(out->type), &bytes) || bytes != tensor->raw_data.len)
			return eddh_fail(err, EDDH_BAD_DATA, "tensor of %zu numbers in %zu bytes", out->count,
							 tensor->raw_data.len);
		out->raw = tensor->raw_data.data;
		return EDDH_OK;
	}
	if (!typed_storage(tensor, out, &n) || n != out->count)
		return eddh_fail(err, EDDH_BAD_DATA, "tensor of %zu numbers holds %zu", out->count, n);
	return EDDH_OK;
}

/* Raw elements need not be aligned, hence memcpy. */
void
nn_onnx_floats_at(const onnx_constant *constant, size_t first, size_t n, float *out)
{
	const uint8_t *raw = constant->raw == NULL ? NULL : constant->raw + first * width_of(constant->type);

	if (n == 0)
		return;
	if (constant->type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
	{
		memcpy(out, raw != NULL ? (const void *) raw : constant->floats + first, n * sizeof(float));
		return;
	}
	for (size_t i = 0; i < n; i++)
	{
		double wide;
		uint16_t half;

		if (constant->type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16)
		{
			if (raw != NULL)
				memcpy(&half, raw + i * sizeof(half), sizeof(half));
			else
				half = (uint16_t) constant->halves[first + i];
			out[i] = nn_half_widen(half);
		}
		else
		{
			if (raw != NULL)
				memcpy(&wide, raw + i * sizeof(wide), sizeof(wide));
			else
				wide = constant->doubles[first + i];
			out[i] = (float) wide;
		}
	}
}

void
nn_onnx_floats(const onnx_constant *constant, float *out)
{
	nn_onnx_floats_at(constant, 0, constant->count, out);
}

int64_t
nn_onnx_int(const onnx_constant *constant, size_t i)
{
	int64_t wide = 0;
	int32_t narrow = 0;

	if (constant->type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64)
	{
		if (constant->raw == NULL)
			return constant->ints[i];
		memcpy(&wide, constant->raw + i * sizeof(wide), sizeof(wide));
		return wide;
	}
	if (constant->type != ONNX__TENSOR_PROTO__DATA_TYPE__INT32)
		return 0;
	if (constant->raw == NULL)
		return constant->halves[i];
	memcpy(&narrow, constant->raw + i * sizeof(narrow), sizeof(narrow));
	return narrow;
}
