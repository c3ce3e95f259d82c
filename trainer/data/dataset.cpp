#include "trainer/data/dataset.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "harness/base/fd.h"
#include "trainer/data/watched_files.h"
#include "trainer/tokenizer/gpt2.h"

namespace bitloop::trainer {
namespace {

namespace fs = std::filesystem;

std::unexpected<Error> unavailable(const std::string& message) {
  return fail("data_unavailable", message);
}

struct Mapping {
  void* address = nullptr;
  size_t size = 0;
  std::unique_ptr<WatchedFile> watched;
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    watched.reset();
    if (address != nullptr) ::munmap(address, size);
  }
};

Result<std::shared_ptr<Mapping>> map_descriptor(int fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return unavailable(errno_error(path, errno).message);
  if (info.st_size == 0) return unavailable(path + ": the file is empty");
  auto mapping = std::make_shared<Mapping>();
  void* address = ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
  if (address == MAP_FAILED) return unavailable(errno_error(path, errno).message);
  mapping->address = address;
  mapping->size = static_cast<size_t>(info.st_size);
  mapping->watched = std::make_unique<WatchedFile>(fd, path, address, mapping->size);
  return mapping;
}

Result<std::shared_ptr<Mapping>> map_file(const std::string& path) {
  auto fd = open_file(path, O_RDONLY);
  if (!fd) return unavailable(fd.error().message);
  return map_descriptor(fd->get(), path);
}

constexpr int32_t kLlmcMagic = 20240520, kLlmcVersion = 1;
constexpr size_t kLlmcHeaderBytes = 256 * sizeof(int32_t);

// Where the ids of a file in llm.c's form begin, and how many there are.
struct Body {
  const void* words;
  int64_t count;
};
Result<Body> read_llmc(const Mapping& mapping, const std::string& path) {
  int32_t header[3] = {};
  if (mapping.size < kLlmcHeaderBytes)
    return unavailable(path + ": shorter than an llm.c header (1024 bytes)");
  std::memcpy(header, mapping.address, sizeof header);
  if (header[0] != kLlmcMagic || header[1] != kLlmcVersion)
    return unavailable(fmt::format("{}: not an llm.c shard (magic {}, version {}; expected {}, {})",
                                   path, header[0], header[1], kLlmcMagic, kLlmcVersion));
  if (header[2] <= 0 || mapping.size != kLlmcHeaderBytes + 2 * static_cast<size_t>(header[2]))
    return unavailable(fmt::format("{}: the header promises {} tokens, but the file has {} bytes",
                                   path, header[2], mapping.size));
  return Body{static_cast<const char*>(mapping.address) + kLlmcHeaderBytes, header[2]};
}

Result<Body> read_uint16(const Mapping& mapping, const std::string& path) {
  if (mapping.size % 2 != 0)
    return unavailable(
        fmt::format("{}: {} bytes is no whole number of uint16 tokens", path, mapping.size));
  return Body{mapping.address, static_cast<int64_t>(mapping.size / 2)};
}

Status check_vocabulary(const uint16_t* words, int64_t count, int64_t vocab_size,
                        const std::string& path) {
  const uint16_t* largest = std::max_element(words, words + count);
  if (*largest >= vocab_size)
    return unavailable(fmt::format("{}: token {} at position {} is not in the vocabulary of {}",
                                   path, *largest, largest - words, vocab_size));
  return {};
}

// Files of a folder in the order of their names.
Result<std::vector<fs::path>> sorted_files(const fs::path& folder) {
  std::error_code failed;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder, failed))
    if (entry.path().extension() == ".txt") files.push_back(entry.path());
  if (failed || files.empty())
    return unavailable(
        fmt::format("{}: no .txt files there; scripts/setup unpacks them", folder.string()));
  std::sort(files.begin(), files.end());
  return files;
}

Result<Dataset> open_bytes(const DataConfig& config, const std::string& data_dir) {
  BITLOOP_ASSIGN(files, sorted_files(fs::path(data_dir) / config.path));
  std::string train, validation;
  for (size_t i = 0; i < files.size(); ++i) {
    auto text = read_file(files[i]);
    if (!text) return unavailable(text.error().message);
    const auto number = static_cast<int64_t>(i) + 1;
    const bool held_out = number >= config.validation_first &&
                          (number - config.validation_first) % config.validation_every == 0;
    (held_out ? validation : train) += *text;
  }
  Dataset dataset;
  dataset.train = TokenStream::from_bytes(std::move(train));
  dataset.validation = TokenStream::from_bytes(std::move(validation));
  return dataset;
}

// SplitMix64 (Steele, Lea & Flood 2014): a well-mixed number for each counter, so any batch can be
// made on its own.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Rows of T + 1 tokens starting at `places`, split into inputs and targets.
Batch gather(const TokenStream& stream, const std::vector<int64_t>& places, int64_t T) {
  const auto B = static_cast<int64_t>(places.size());
  const at::Tensor rows = at::empty({B, T + 1}, at::kLong);
  for (int64_t b = 0; b < B; ++b)
    stream.copy(places[static_cast<size_t>(b)], T + 1, rows[b].data_ptr<int64_t>());
  return {rows.narrow(1, 0, T).contiguous(), rows.narrow(1, 1, T).contiguous()};
}

}  // namespace

TokenStream TokenStream::from_bytes(std::string bytes) {
  auto held = std::make_shared<const std::string>(std::move(bytes));
  TokenStream stream;
  stream.size_ = static_cast<int64_t>(held->size());
  stream.text_ = std::move(held);
  return stream;
}

Result<TokenStream> TokenStream::from_words(std::shared_ptr<const void> owner, const void* words,
                                            int64_t count, int64_t vocab_size,
                                            const std::string& name) {
  TokenStream stream;
  const auto* ids = static_cast<const uint16_t*>(words);
  BITLOOP_TRY(check_vocabulary(ids, count, vocab_size, name));
  stream.size_ = count;
  stream.parts_.push_back({std::move(owner), ids, 0, count});
  return stream;
}

Result<TokenStream> TokenStream::from_uint16_file(const std::string& path, int64_t vocab_size) {
  BITLOOP_ASSIGN(mapping, map_file(path));
  BITLOOP_ASSIGN(body, read_uint16(*mapping, path));
  return from_words(std::move(mapping), body.words, body.count, vocab_size, path);
}

Result<TokenStream> TokenStream::from_llmc_file(const std::string& path, int64_t vocab_size) {
  BITLOOP_ASSIGN(mapping, map_file(path));
  BITLOOP_ASSIGN(body, read_llmc(*mapping, path));
  return from_words(std::move(mapping), body.words, body.count, vocab_size, path);
}

Result<TokenStream> TokenStream::from_llmc_files(const std::vector<std::string>& paths,
                                                 int64_t vocab_size) {
  TokenStream stream;
  for (const std::string& path : paths) {
    BITLOOP_ASSIGN(shard, from_llmc_file(path, vocab_size));
    Part part = std::move(shard.parts_.front());
    part.begin = stream.size_;
    stream.size_ += part.count;
    stream.parts_.push_back(std::move(part));
  }
  return stream;
}

template <typename Take>
void TokenStream::for_each_stretch(int64_t begin, int64_t count, const Take& take) const {
  auto part = std::ranges::upper_bound(parts_, begin, {}, &Part::begin) - 1;
  for (; count > 0; ++part) {
    const int64_t first = begin - part->begin;
    const int64_t now = std::min(count, part->count - first);
    take(part->words + first, now);
    begin += now;
    count -= now;
  }
}

Result<TokenStream> TokenStream::from_descriptor(int fd, const std::string& name,
                                                 int64_t vocab_size) {
  BITLOOP_ASSIGN(mapping, map_descriptor(fd, name));
  int32_t magic = 0;
  std::memcpy(&magic, mapping->address, std::min(mapping->size, sizeof magic));
  BITLOOP_ASSIGN(body,
                 magic == kLlmcMagic ? read_llmc(*mapping, name) : read_uint16(*mapping, name));
  return from_words(std::move(mapping), body.words, body.count, vocab_size, name);
}

std::optional<int64_t> TokenStream::bytes(int64_t begin, int64_t count) const {
  if (text_) return count;
  if (!lengths_) return std::nullopt;
  int64_t sum = 0;
  for_each_stretch(begin, count, [&](const uint16_t* words, int64_t n) {
    for (int64_t i = 0; i < n; ++i) sum += (*lengths_)[words[i]];
  });
  return sum;
}

void TokenStream::set_lengths(std::shared_ptr<const std::vector<uint16_t>> lengths) {
  lengths_ = std::move(lengths);
}

std::shared_ptr<const std::vector<uint16_t>> token_lengths(const tokenizer::Tokenizer& tokenizer) {
  auto lengths = std::make_shared<std::vector<uint16_t>>(static_cast<size_t>(tokenizer.size()));
  for (int32_t id = 0; id < tokenizer.size(); ++id)
    if (!tokenizer.is_special(id))
      (*lengths)[static_cast<size_t>(id)] = static_cast<uint16_t>(tokenizer.decode({{id}})->size());
  return lengths;
}

void TokenStream::copy(int64_t begin, int64_t count, int64_t* out) const {
  if (text_)
    std::copy_n(reinterpret_cast<const uint8_t*>(text_->data()) + begin, count, out);
  else
    for_each_stretch(begin, count,
                     [&](const uint16_t* words, int64_t n) { out = std::copy_n(words, n, out); });
}

Result<Dataset> open_dataset(const DataConfig& config, const ModelConfig& model,
                             const std::string& data_dir) {
  Dataset dataset;
  if (config.format == "bytes") {
    BITLOOP_ASSIGN(opened, open_bytes(config, data_dir));
    dataset = std::move(opened);
  } else if (config.format == "tokens16" || config.format == "llmc") {
    const fs::path root = data_dir;
    const auto open = [&](const std::string& path,
                          const std::vector<std::string>& files) -> Result<TokenStream> {
      const std::string whole = (root / path).string();
      const bool pattern = fs::path(path).filename().string().find('*') != std::string::npos;
      if (pattern && config.format != "llmc")
        return unavailable(whole + ": a pattern names llm.c shards; set data.format=llmc");
      if (pattern && files.empty()) return unavailable(whole + ": no file has such a name");
      if (pattern) return TokenStream::from_llmc_files(files, model.vocab_size);
      return config.format == "llmc" ? TokenStream::from_llmc_file(whole, model.vocab_size)
                                     : TokenStream::from_uint16_file(whole, model.vocab_size);
    };
    if (config.path.empty() || config.val_path.empty())
      return unavailable(
          "this preset has no data of its own: name the files with --set data.path=FILE and --set "
          "data.val_path=FILE");
    BITLOOP_ASSIGN(train, open(config.path, config.files));
    BITLOOP_ASSIGN(validation, open(config.val_path, config.val_files));
    dataset.train = std::move(train);
    dataset.validation = std::move(validation);
    // Without GPT-2's merges among the data the text's bytes are not known.
    if (model.vocab_size == tokenizer::Gpt2::kSize)
      if (const auto tokenizer = tokenizer::Gpt2::load(root / "gpt2-bpe")) {
        const auto lengths = token_lengths(*tokenizer);
        dataset.train.set_lengths(lengths);
        dataset.validation.set_lengths(lengths);
      }
  } else {
    return unavailable(
        fmt::format("data.format '{}' is unknown: use bytes, tokens16 or llmc", config.format));
  }
  if (dataset.train.size() <= model.context + 1 || dataset.validation.size() <= model.context + 1)
    return unavailable(
        fmt::format("the data is shorter than one window of {} tokens", model.context + 1));
  return dataset;
}

Batch Batch::to(at::Device device) const { return {inputs_BT.to(device), targets_BT.to(device)}; }

Batch training_batch(const TokenStream& stream, uint64_t seed, int64_t step, int64_t first_row,
                     int64_t B, int64_t T) {
  const auto range = static_cast<uint64_t>(stream.size() - T);
  std::vector<int64_t> places;
  for (int64_t b = 0; b < B; ++b) {
    const uint64_t draw =
        mix(mix(mix(seed) ^ static_cast<uint64_t>(step)) ^ static_cast<uint64_t>(first_row + b));
    places.push_back(static_cast<int64_t>(draw % range));
  }
  return gather(stream, places, T);
}

int64_t validation_windows(const TokenStream& stream, int64_t T) { return (stream.size() - 1) / T; }

Batch validation_batch(const TokenStream& stream, int64_t first, int64_t count, int64_t T) {
  std::vector<int64_t> places;
  for (int64_t i = 0; i < count; ++i) places.push_back((first + i) * T);
  return gather(stream, places, T);
}

}  // namespace bitloop::trainer
