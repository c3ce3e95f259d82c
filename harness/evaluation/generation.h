// The host's side of `bitloop generate`: a trainer in a jail that continues prompts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/evaluation/model_job.h"

namespace bitloop::evaluation {

struct GenerationRequest {
  std::filesystem::path model;       // a Hugging Face folder, a run's, or a packed model
  std::filesystem::path tokenizer;   // tokenizer.json, or a folder with one; empty: the model's
  std::vector<std::string> prompts;  // UTF-8
  int64_t max_new_tokens = 100;
  double temperature = 0.8;  // 0: greedy
  int64_t top_k = 0;         // 0: all
  double top_p = 1.0;
  uint64_t seed = 42;
  bool ignore_end = false;  // goes on behind <|endoftext|>
  bool benchmark = false;   // also measures a copy in memory
  unsigned threads = 2;
  uint64_t memory_bytes = 0;
  bool allow_degraded = false;
  std::string device = "cpu";  // cpu, cuda or auto
};

// `text` is told of each prompt's text as it comes. Returns {"model", "parameters", "device", "note"
// (why "auto" stayed on the CPU), "generations": [{"prompt", "text", "prompt_tokens", "tokens":
// [ids], "finish": "length"|"end"|"context"}], "speed": {"prompt_tokens", "prompt_s", "new_tokens",
// "new_s", "steps", "load_s", "weight_bytes", "resident_bytes" (and "device_bytes" of a GPU, or a
// benchmark's "copy_bytes_per_s"): trainer/loop/generation.h}}. Errors: "wrong_usage", "bad_model",
// "bad_weights", "bad_prompt", "infrastructure", those of the candidate.
Result<Json> generate(const GenerationRequest& request,
                      const std::function<void(size_t prompt, std::string_view text)>& text);

}  // namespace bitloop::evaluation
