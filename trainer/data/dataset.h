// Training and validation text as token ids, and the batches made of them. Which tokens a batch
// holds depends on the seed and the step alone: not on the candidate, nor on what was computed
// before. Legend: B batch, T tokens.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "trainer/job.h"

namespace bitloop::trainer {

// A run of token ids, memory-mapped or held; read-only.
class TokenStream {
 public:
  // Text bytes as ids (vocabulary 256).
  static TokenStream from_bytes(std::string bytes);
  // Headerless little-endian uint16 (nanoGPT's .bin).
  static Result<TokenStream> from_uint16_file(const std::string& path, int64_t vocab_size);
  // llm.c shard: 256 int32 header (magic 20240520, version 1, token count), then uint16 ids.
  static Result<TokenStream> from_llmc_file(const std::string& path, int64_t vocab_size);

  int64_t size() const { return size_; }
  // Copies ids [begin, begin + count) to `out`.
  void copy(int64_t begin, int64_t count, int64_t* out) const;

 private:
  std::shared_ptr<const void> owner_;  // shared: copies of a stream read the same mapping
  const uint8_t* bytes_ = nullptr;
  const uint16_t* words_ = nullptr;
  int64_t size_ = 0;
};

struct Dataset {
  TokenStream train;
  TokenStream validation;
  bool tokens_are_bytes = false;  // then bits per byte follow from the loss alone
};

// Opens what the job's `data` names. Errors: "data_unavailable" with the file and what is wrong
// with it.
Result<Dataset> open_dataset(const DataConfig& config, const ModelConfig& model,
                             const std::string& data_dir);

struct Batch {
  at::Tensor inputs_BT;   // int64
  at::Tensor targets_BT;  // int64: the inputs shifted by one
};

// Batch of training step `step`: B windows at places drawn from (seed, step, row). `first_row` is
// for micro-batches.
Batch training_batch(const TokenStream& stream, uint64_t seed, int64_t step, int64_t first_row,
                     int64_t B, int64_t T);

// Validation: windows of T tokens side by side, without overlap; every token but the first of the
// stream is predicted at most once. `count` windows from window `first`.
int64_t validation_windows(const TokenStream& stream, int64_t T);
Batch validation_batch(const TokenStream& stream, int64_t first, int64_t count, int64_t T);

}  // namespace bitloop::trainer
