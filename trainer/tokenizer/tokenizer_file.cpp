#include "trainer/tokenizer/tokenizer_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "trainer/tokenizer/gpt2.h"
#include "trainer/tokenizer/shown_bytes.h"

namespace bitloop::tokenizer {
namespace {

using nlohmann::json;

json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

// `cut`: whether texts are cut into words before their bytes are merged.
std::string file_of(json vocabulary, json merges, json added, bool cut) {
  const json whole = {{"version", "1.0"},
                      {"truncation", nullptr},
                      {"padding", nullptr},
                      {"added_tokens", std::move(added)},
                      {"normalizer", nullptr},
                      {"pre_tokenizer", byte_level(cut)},
                      {"post_processor", nullptr},
                      {"decoder", byte_level(true)},
                      {"model",
                       {{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},
                        {"continuing_subword_prefix", ""},
                        {"end_of_word_suffix", ""},
                        {"fuse_unk", false},
                        {"byte_fallback", false},
                        {"vocab", std::move(vocabulary)},
                        {"merges", std::move(merges)}}}};
  return whole.dump() + "\n";
}

}  // namespace

std::string tokenizer_file_of_bytes() {
  json vocabulary = json::object();
  for (int byte = 0; byte < 256; ++byte) vocabulary[shown_byte(static_cast<uint8_t>(byte))] = byte;
  return file_of(std::move(vocabulary), json::array(), json::array(), false);
}

Result<std::string> tokenizer_file_of_gpt2(std::string_view merges, const std::string& name) {
  BITLOOP_TRY(Gpt2::from_merges(merges, name));  // the file is what it should be
  json vocabulary = json::object(), pairs = json::array();
  int32_t next = 0;
  for (const uint8_t byte : bytes_in_order()) vocabulary[shown_byte(byte)] = next++;
  for (size_t begin = 0; begin < merges.size();) {
    const size_t end = std::min(merges.find('\n', begin), merges.size());
    const std::string pair(merges.substr(begin, end - begin));
    const bool version = begin == 0 && pair.starts_with("#version");
    begin = end + 1;
    if (version || pair.empty()) continue;
    std::string both = pair;
    both.erase(both.find(' '), 1);
    vocabulary[both] = next++;
    pairs.push_back(pair);
  }
  vocabulary["<|endoftext|>"] = Gpt2::kEndOfText;
  const json end = {{"id", Gpt2::kEndOfText}, {"content", "<|endoftext|>"},
                    {"single_word", false},   {"lstrip", false},
                    {"rstrip", false},        {"normalized", false},
                    {"special", true}};
  return file_of(std::move(vocabulary), std::move(pairs), json::array({end}), true);
}

}  // namespace bitloop::tokenizer
