// Training and validation text as token ids, and the batches made of them. Which tokens a batch
// holds depends on the seed and the step alone: not on the candidate, nor on what was computed
// before. Legend: B batch, T tokens.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "trainer/job.h"
#include "trainer/tokenizer/gpt2.h"

namespace bitloop::trainer {

// A run of token ids, memory-mapped or held, from one file or from several in a row; read-only.
class TokenStream {
 public:
  // Text bytes as ids (vocabulary 256).
  static TokenStream from_bytes(std::string bytes);
  // Headerless little-endian uint16 (nanoGPT's .bin).
  static Result<TokenStream> from_uint16_file(const std::string& path, int64_t vocab_size);
  // llm.c shard: 256 int32 header (magic 20240520, version 1, token count), then uint16 ids.
  static Result<TokenStream> from_llmc_file(const std::string& path, int64_t vocab_size);
  // Shards in a row. Error: "data_unavailable" (which one, and why; none).
  static Result<TokenStream> from_llmc_files(const std::vector<std::string>& paths,
                                             int64_t vocab_size);
  // An open file of either form; `name` is what messages call it.
  static Result<TokenStream> from_descriptor(int fd, const std::string& name, int64_t vocab_size);

  int64_t size() const { return size_; }
  // UTF-8 bytes of the text that ids [begin, begin + count) stand for; nullopt where the vocabulary
  // is not known.
  std::optional<int64_t> bytes(int64_t begin, int64_t count) const;
  // `lengths`: bytes of each id.
  void set_lengths(std::shared_ptr<const std::vector<uint16_t>> lengths);
  // Copies ids [begin, begin + count) to `out`.
  void copy(int64_t begin, int64_t count, int64_t* out) const;

 private:
  // Ids of one file.
  struct Part {
    std::shared_ptr<const void> owner;  // shared: copies of a stream read the same mapping
    const uint16_t* words = nullptr;
    int64_t begin = 0, count = 0;  // in the stream
  };
  // Calls `take(words, count)` for each stretch of [begin, begin + count), in order.
  template <typename Take>
  void for_each_stretch(int64_t begin, int64_t count, const Take& take) const;

  std::shared_ptr<const std::string> text_;  // shared likewise; null: parts
  std::vector<Part> parts_;
  static Result<TokenStream> from_words(std::shared_ptr<const void> owner, const void* words,
                                        int64_t count, int64_t vocab_size, const std::string& name);

  int64_t size_ = 0;
  std::shared_ptr<const std::vector<uint16_t>> lengths_;  // shared by a dataset's two streams
};

// Bytes of the tokens; special ones (<|endoftext|>) stand between texts and for none.
std::shared_ptr<const std::vector<uint16_t>> token_lengths(const tokenizer::Tokenizer& tokenizer);

struct Dataset {
  TokenStream train;
  TokenStream validation;
};

// Opens what the job's `data` names. Errors: "data_unavailable" with the file and what is wrong
// with it.
Result<Dataset> open_dataset(const DataConfig& config, const ModelConfig& model,
                             const std::string& data_dir);

struct Batch {
  at::Tensor inputs_BT;   // int64
  at::Tensor targets_BT;  // int64: the inputs shifted by one

  // On that device. Not by way of pinned memory, which can't be had once system calls are narrowed.
  Batch to(at::Device device) const;
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
