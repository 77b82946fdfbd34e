/* onnx_ops.h: helpers of the operators' readers (onnx_attr.c). */
#ifndef EDDH_NN_ONNX_OPS_H
#define EDDH_NN_ONNX_OPS_H

#include "nn/onnx.h"

extern const Onnx__AttributeProto *nn_onnx_attribute(const Onnx__NodeProto *proto, const char *name);
extern eddh_code nn_onnx_check_attributes(const onnx_reader *reader, const Onnx__NodeProto *proto, const char *known);
extern int64_t nn_onnx_attr_int(const Onnx__NodeProto *proto, const char *name, int64_t otherwise);
extern float nn_onnx_attr_float(const Onnx__NodeProto *proto, const char *name, float otherwise);
extern bool nn_onnx_attr_is(const Onnx__NodeProto *proto, const char *name, const char *text);

/* Exactly n non-negative numbers into out; left alone where the attribute is absent. */
extern eddh_code nn_onnx_attr_ints(const onnx_reader *reader, const Onnx__NodeProto *proto, const char *name, int n,
								   int *out);

extern bool nn_onnx_has_input(const Onnx__NodeProto *proto, size_t i);
extern eddh_code nn_onnx_tensor_input(const onnx_reader *reader, const Onnx__NodeProto *proto, size_t i,
									  uint32_t *tensor);
extern eddh_code nn_onnx_input_is_constant(const onnx_reader *reader, const Onnx__NodeProto *proto, size_t i,
										   bool *constant);

/* real: floating point is wanted, else integers. */
extern eddh_code nn_onnx_constant_input(const onnx_reader *reader, const Onnx__NodeProto *proto, size_t i, bool real,
										onnx_constant *out);
extern eddh_code nn_onnx_scalar_input(const onnx_reader *reader, const Onnx__NodeProto *proto, size_t i, float *out);

/* ---- The graph so far ---- */

extern const nn_tensor *nn_onnx_tensor_at(const onnx_reader *reader, uint32_t index);

/* The node's first output is this tensor. */
extern void nn_onnx_enter(onnx_reader *reader, const Onnx__NodeProto *proto, uint32_t tensor);

/* Limits first, then room, shape and name. The node's weights are uninitialised afterwards: the caller fills them, at last_w and last_b. */
extern eddh_code nn_onnx_add(onnx_reader *reader, const Onnx__NodeProto *proto, const nn_node *node, int n_inputs,
							 const uint32_t *inputs);
extern float *nn_onnx_last_w(onnx_reader *reader);
extern float *nn_onnx_last_b(onnx_reader *reader);

/* ---- Operators of onnx_layers.c and onnx_binary.c ---- */

extern eddh_code nn_onnx_read_conv(onnx_reader *reader, const Onnx__NodeProto *proto);
extern eddh_code nn_onnx_read_maxpool(onnx_reader *reader, const Onnx__NodeProto *proto);
extern eddh_code nn_onnx_read_avgpool(onnx_reader *reader, const Onnx__NodeProto *proto);
extern eddh_code nn_onnx_read_gemm(onnx_reader *reader, const Onnx__NodeProto *proto);
extern eddh_code nn_onnx_read_matmul(onnx_reader *reader, const Onnx__NodeProto *proto);
extern eddh_code nn_onnx_read_batchnorm(onnx_reader *reader, const Onnx__NodeProto *proto);
extern eddh_code nn_onnx_read_add(onnx_reader *reader, const Onnx__NodeProto *proto);
extern eddh_code nn_onnx_read_mul(onnx_reader *reader, const Onnx__NodeProto *proto);

#endif /* EDDH_NN_ONNX_OPS_H */
