// `bitloop data prepare`: text to shards of tokens, GPT-2's or those of a tokenizer.json, as
// llm.c's data scripts make them: each document begins with <|endoftext|> (or what texts begin with
// there), documents run across shards. What comes out depends on the documents and the settings
// alone, not on the number of threads nor on how often it was stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/data/shard_writer.h"

namespace bitloop::data {

struct PrepareOptions {
  std::vector<std::filesystem::path> sources;  // files and folders (documents.h)
  std::filesystem::path to;
  std::string name = "data";  // files are <name>_train_000001.bin and <name>_val_000001.bin
  std::string field = "text";
  int64_t shard_tokens = 100'000'000;
  // The share of documents that are held out for validation: those whose text hashes below it, so a
  // text is always on the same side.
  double held_out = 0.005;
  int jobs = 1;
  std::filesystem::path vocabulary;  // the folder of vocab.bpe
  std::filesystem::path tokenizer;   // tokenizer.json, or a folder with one; empty: GPT-2's
  // Called often: bytes of the sources that were read, of all, and tokens so far; false stops.
  std::function<bool(uint64_t read, uint64_t all, int64_t tokens)> on_progress = {};
};

struct Prepared {
  int64_t documents = 0;
  int64_t held_out = 0;  // of these
  std::vector<Shard> train, validation;
  int64_t train_tokens = 0, validation_tokens = 0;
  bool was_done = false;  // by an earlier call
};

// [{file, tokens, sha256}], in the manifest and for programs.
nlohmann::ordered_json to_json(const std::vector<Shard>& shards);

// The folder's manifest.json says what was made of what. It is written every few seconds, once the
// parts are on disk: a call that was ended, however it was, is taken up by the next with the same
// sources and settings, and of one that was done the hashes are compared. Errors: those of
// list_sources, DocumentReader and check_shard; "wrong_usage" (the folder holds the shards of
// something else, or another process works there); "interrupted"; "data_unavailable" (no
// vocabulary); "io_error", "disk_full".
Result<Prepared> prepare(const PrepareOptions& options);

}  // namespace bitloop::data
