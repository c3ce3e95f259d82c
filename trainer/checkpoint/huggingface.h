// GPT-2 in the form of Hugging Face's transformers: config.json and model.safetensors, where linear
// layers of the blocks are Conv1D, with transposed weights, and the head is the token embedding.
#pragma once

#include <nlohmann/json.hpp>

#include "harness/base/result.h"
#include "trainer/checkpoint/mapped_tensors.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {

// The shape that config.json names. Error "bad_model": a sentence with the member that this version
// can't honour (another architecture, another activation, a head that is not tied, …).
Result<ModelConfig> read_huggingface_config(const nlohmann::json& config);

// Fills the model. Names may begin with "transformer.". Error "bad_weights" names a tensor that is
// missing or has another shape.
Status load_huggingface(const MappedTensors& tensors, Transformer& model);

// The other direction. Embedding rows beyond the vocabulary, which only training has, are left out.
nlohmann::json huggingface_config(const ModelConfig& config);
NamedTensors huggingface_tensors(Transformer& model);

}  // namespace bitloop::trainer
