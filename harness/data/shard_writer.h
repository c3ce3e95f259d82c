// Token ids as llm.c's shards: a header of 256 int32 (magic 20240520, version 1, how many), then
// little-endian uint16. What is whole has its name; the shard that is being filled is called .part.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "harness/base/fd.h"

namespace bitloop::data {

struct Shard {
  std::string file;
  int64_t tokens = 0;
  std::string sha256;
};

// Error "bad_document" where the file is not there any more or is not as it was written;
// "io_error".
Status check_shard(const std::filesystem::path& folder, const Shard& shard);

class ShardWriter {
 public:
  // Where an earlier writer stood: its shards that are whole, and the tokens of the one that it had
  // begun which are on disk. What lies behind them is cut off.
  struct State {
    std::vector<Shard> shards;
    int64_t begun = 0;
  };
  // Files <folder>/<stem>_000001.bin and so on, of `shard_tokens` each but for the last. Errors:
  // "io_error", "disk_full", "bad_document" (a part is not as it was left).
  static Result<ShardWriter> open(std::filesystem::path folder, std::string stem,
                                  int64_t shard_tokens, State state);

  // Errors: "io_error", "disk_full".
  Status add(std::span<const uint16_t> tokens);
  // What was added is on disk when this returns.
  Status flush();
  // The last shard is whole, too; nothing may be added afterwards.
  Status finish();
  const State& state() const { return state_; }
  int64_t tokens() const;

 private:
  ShardWriter(std::filesystem::path folder, std::string stem, int64_t shard_tokens, State state)
      : folder_(std::move(folder)),
        stem_(std::move(stem)),
        shard_tokens_(shard_tokens),
        state_(std::move(state)) {}
  std::string file_name() const;  // of the shard that is being filled
  std::filesystem::path part() const;
  Status open_part();
  Status write_buffer();
  Status finish_shard();

  std::filesystem::path folder_;
  std::string stem_;
  int64_t shard_tokens_;
  State state_;
  UniqueFd file_;                 // the part; not open before its first token
  std::vector<uint16_t> buffer_;  // counted in state_.begun
};

}  // namespace bitloop::data
