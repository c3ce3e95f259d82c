// Models in the form of Hugging Face's transformers: config.json, and weights in one safetensors
// file or several. Two architectures: GPT-2, where linear layers of the blocks are Conv1D, with
// transposed weights, and Llama, whose names and shapes are ours.
#pragma once

#include <nlohmann/json.hpp>

#include "harness/base/result.h"
#include "trainer/checkpoint/mapped_tensors.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {

// The shape that config.json names. Error "bad_model": a sentence with the member that this version
// can't honour (another architecture, another activation, scaled rotary positions, …).
Result<ModelConfig> read_huggingface_config(const nlohmann::json& config);
// The other direction. Requires: architecture gpt2 or llama.
nlohmann::json huggingface_config(const ModelConfig& config);

// A float model of that shape with these weights, in float32. Error "bad_weights": a sentence that
// follows the file's name, with a tensor that is missing, has another shape, belongs to another
// model, or holds a number that is not finite. Asks for no more memory than the weights have.
Result<Transformer> read_huggingface(const ModelConfig& config, const MappedTensors& tensors);
// The same into a model that is there, whose embedding (and head) may have more rows than the
// vocabulary: those become zeros.
Status load_huggingface(const MappedTensors& tensors, Transformer& model);
// What makes `is` another model than the preset's `wanted`, the first of it: "its width is 96, but
// the preset's is 128"; empty where nothing does.
std::string model_difference(const ModelConfig& is, const ModelConfig& wanted);

// The model's tensors under their names there. Embedding rows beyond the vocabulary, which only
// training has, are left out.
NamedTensors huggingface_tensors(Transformer& model);

}  // namespace bitloop::trainer
