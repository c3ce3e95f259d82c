// A model as it is taken out of the laboratory: codes at their true cost, scales in the type that
// was declared, all else in float32 or bfloat16, in a file that any reader of safetensors opens
// (docs/packing.md). What is written is what the layers compute with, so a packed model has the
// scores of the model that it was made of, bit by bit.
#pragma once

#include <nlohmann/json.hpp>

#include "harness/base/result.h"
#include "trainer/checkpoint/mapped_tensors.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/model/transformer.h"
#include "trainer/pack/packed_header.h"

namespace bitloop::trainer {

struct PackedModel {
  NamedTensors tensors;
  // Of the BitLinear layers' tensors (codes, scales, offsets, codebooks, row biases, learned
  // parameters and state), per weight: the ledger's packed_bits_per_weight.
  double bits_per_weight = 32.0;
};

// `format` of the quantizer, null for a float model; `floats`: kFloat or kBFloat16, the type of
// embeddings, norms, biases and weights that stay float. Requires: model.quantize_weights ran for a
// score (lambda 1, not captured).
PackedModel pack_model(Transformer& model, const lua::Format* format, at::ScalarType floats);

// Writes the file and fsyncs. `description`: what a reader needs to know beside the tensors.
Status write_packed(int fd, const PackedModel& packed, const nlohmann::json& description);

enum class Unpack {
  kWhole,    // all numbers in memory: what scores are made with
  kInPlace,  // codes and matrices of floats stay where they lie in the file, which must stay
             // mapped, for products of ForwardContext::as_stored; weights of more than 256 levels
             // don't
};

// Fills the model: floats, parameters, state, and in each quantised layer what it stores. Every
// tensor is compared with its checksum. Error "bad_weights": a sentence that follows the file's
// name.
Status unpack_model(const MappedTensors& tensors, const nlohmann::json& description,
                    Transformer& model, const lua::Format* format, Unpack how = Unpack::kWhole);

}  // namespace bitloop::trainer
