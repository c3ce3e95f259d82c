#include "harness/data/prepare.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <future>
#include <optional>

#include "harness/base/sha256.h"
#include "harness/base/version.h"
#include "harness/data/documents.h"
#include "trainer/tokenizer/gpt2.h"
#include "trainer/tokenizer/huggingface.h"

namespace bitloop::data {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr size_t kBatchBytes = size_t{2} << 20;  // a tenth of a second's work
constexpr size_t kBatchDocuments = 4096;
constexpr std::chrono::seconds kBetweenCheckpoints(10);
constexpr const char* kManifest = "manifest.json";
constexpr size_t kMaxTokenizer = size_t{128} << 20;

// Where among the documents of all sources.
struct Position {
  size_t source = 0;
  int64_t document = 0;  // so many of that source's were taken
};

struct Counts {
  int64_t documents = 0;
  int64_t held_out = 0;
};

// Some documents, and where they end.
struct Batch {
  std::vector<std::string> texts;
  Position end;
  uint64_t read = 0;  // bytes of the sources up to there
};

struct Encoded {
  std::vector<uint16_t> train, validation;
  Counts counts;
  Position end;
  uint64_t read = 0;
};

bool is_held_out(std::string_view text, double share) {
  const double place =
      std::ldexp(static_cast<double>(::XXH3_64bits(text.data(), text.size())), -64);
  return place < share;
}

Encoded encode(const tokenizer::Tokenizer& tokenizer, const Batch& batch, double held_out) {
  Encoded encoded{{}, {}, {}, batch.end, batch.read};
  std::vector<int32_t> ids;
  for (const std::string& text : batch.texts) {
    const bool held = is_held_out(text, held_out);
    ids.assign(1, tokenizer.beginning());
    tokenizer.encode(text, ids);
    std::vector<uint16_t>& to = held ? encoded.validation : encoded.train;
    to.insert(to.end(), ids.begin(), ids.end());
    ++encoded.counts.documents;
    encoded.counts.held_out += held ? 1 : 0;
  }
  return encoded;
}

// The documents of all sources from a position on, in batches.
class Batches {
 public:
  Batches(const std::vector<Source>& sources, std::string field, Position start)
      : sources_(sources), field_(std::move(field)), place_(start), skip_(start.document) {
    for (size_t i = 0; i < std::min(start.source, sources.size()); ++i) before_ += sources[i].bytes;
  }

  // Nothing at the end. Errors: those of DocumentReader.
  Result<std::optional<Batch>> next() {
    Batch batch;
    size_t bytes = 0;
    while (bytes < kBatchBytes && batch.texts.size() < kBatchDocuments &&
           place_.source < sources_.size()) {
      if (!reader_) BITLOOP_TRY(open());
      BITLOOP_ASSIGN(text, reader_->next());
      if (!text) {
        before_ += sources_[place_.source].bytes;
        reader_.reset();
        place_ = {place_.source + 1, 0};
        continue;
      }
      ++place_.document;
      bytes += text->size();
      batch.texts.push_back(std::move(*text));
    }
    if (batch.texts.empty()) return std::nullopt;
    batch.end = place_;
    batch.read = before_ + (reader_ ? reader_->bytes_read() : 0);
    return batch;
  }

 private:
  Status open() {
    BITLOOP_ASSIGN(reader, DocumentReader::open(sources_[place_.source].path, field_));
    reader_.emplace(std::move(reader));
    for (; skip_ > 0; --skip_) BITLOOP_TRY(reader_->next());
    return {};
  }

  const std::vector<Source>& sources_;
  const std::string field_;
  Position place_;
  int64_t skip_;  // documents of the first source that an earlier call has taken
  std::optional<DocumentReader> reader_;
  uint64_t before_ = 0;  // bytes of the sources before
};

fs::path tokenizer_path(const PrepareOptions& options) {
  std::error_code ignored;
  return fs::is_directory(options.tokenizer, ignored) ? options.tokenizer / "tokenizer.json"
                                                      : options.tokenizer;
}

// Errors: those of files, "wrong_usage".
Result<std::unique_ptr<const tokenizer::Tokenizer>> load_tokenizer(const PrepareOptions& options) {
  if (options.tokenizer.empty()) {
    BITLOOP_ASSIGN(gpt2, tokenizer::Gpt2::load(options.vocabulary));
    return std::make_unique<tokenizer::Gpt2>(std::move(gpt2));
  }
  const fs::path path = tokenizer_path(options);
  BITLOOP_ASSIGN(text, read_file(path, kMaxTokenizer));
  auto made = tokenizer::HuggingFace::parse(text);
  if (!made) return fail("wrong_usage", fmt::format("{}: {}", path.string(), made.error().message));
  constexpr int32_t kMost = 1 << 16;
  if ((*made)->size() > kMost)
    return fail("wrong_usage", fmt::format("{} has {} tokens, but shards hold numbers below {}",
                                           path.string(), (*made)->size(), kMost));
  return std::move(*made);
}

// What the shards are made of, by which they are told from others.
Json inputs_of(const PrepareOptions& options, const std::vector<Source>& sources) {
  Json files = Json::array();
  for (const Source& source : sources)
    files.push_back({{"path", fs::absolute(source.path).lexically_normal().string()},
                     {"bytes", source.bytes},
                     {"modified_ns", source.modified_ns}});
  Json tokenizer = "gpt2";
  if (!options.tokenizer.empty()) {
    Sha256 hash;
    if (const auto text = read_file(tokenizer_path(options), kMaxTokenizer)) hash.add(*text);
    tokenizer = {{"sha256", hash.finish()}};
  }
  return {{"tokenizer", std::move(tokenizer)},
          {"field", options.field},
          {"shard_tokens", options.shard_tokens},
          {"held_out", options.held_out},
          {"sources", std::move(files)}};
}

// The work in one folder.
class Preparation {
 public:
  Preparation(const PrepareOptions& options, std::vector<Source> sources)
      : options_(options), sources_(std::move(sources)), inputs_(inputs_of(options, sources_)) {
    for (const Source& source : sources_) all_bytes_ += source.bytes;
  }

  Result<Prepared> perform() {
    BITLOOP_TRY(take_folder());
    BITLOOP_TRY(take_up());
    if (done_) {
      for (const ShardWriter::State& state : states_)
        for (const Shard& shard : state.shards) BITLOOP_TRY(check_shard(options_.to, shard));
      return result(true);
    }
    BITLOOP_ASSIGN(tokenizer, load_tokenizer(options_));
    BITLOOP_ASSIGN(train, writer("train", states_[0]));
    BITLOOP_ASSIGN(validation, writer("val", states_[1]));
    writers_[0].emplace(std::move(train));
    writers_[1].emplace(std::move(validation));
    BITLOOP_TRY(encode_all(*tokenizer));
    for (auto& open : writers_) BITLOOP_TRY(open->finish());
    done_ = true;
    BITLOOP_TRY(write_manifest());
    return result(false);
  }

 private:
  Result<ShardWriter> writer(const char* split, ShardWriter::State state) const {
    return ShardWriter::open(options_.to, options_.name + "_" + split, options_.shard_tokens,
                             std::move(state));
  }

  Status take_folder() {
    std::error_code error;
    fs::create_directories(options_.to, error);
    if (error) return std::unexpected(errno_error(options_.to.string(), error.value()));
    BITLOOP_ASSIGN(lock, open_file(options_.to / ".lock", O_RDWR | O_CREAT));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
      return fail("wrong_usage",
                  fmt::format("{}: another process prepares data there", options_.to.string()));
    lock_ = std::move(lock);
    // A manifest that was being written when its process was killed.
    for (const auto& entry : fs::directory_iterator(options_.to, error))
      if (entry.path().filename().string().starts_with(std::string(kManifest) + ".tmp-"))
        fs::remove(entry.path(), error);
    return {};
  }

  // What an earlier call has done.
  Status take_up() {
    const auto text = read_file(options_.to / kManifest);
    if (!text && text.error().code != "file_not_found") return std::unexpected(text.error());
    if (!text) return check_nobodys();
    const Json manifest = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
    try {
      if (manifest.at("inputs") != inputs_)
        return fail("wrong_usage",
                    fmt::format("{} holds the shards of other sources or settings (or a source was "
                                "changed since); give another folder, or empty this one",
                                options_.to.string()));
      done_ = manifest.at("done");
      position_ = {manifest.at("position").at("source").get<size_t>(),
                   manifest.at("position").at("document").get<int64_t>()};
      counts_ = {manifest.at("documents").get<int64_t>(), manifest.at("held_out").get<int64_t>()};
      const char* names[] = {"train", "val"};
      for (size_t i = 0; i < 2; ++i) {
        const Json& split = manifest.at(names[i]);
        states_[i].begun = split.at("begun");
        for (const Json& shard : split.at("shards"))
          states_[i].shards.push_back({shard.at("file"), shard.at("tokens"), shard.at("sha256")});
      }
    } catch (const Json::exception&) {
      return fail("wrong_usage", fmt::format("{} can't be read; empty the folder and begin anew",
                                             (options_.to / kManifest).string()));
    }
    return {};
  }

  // Files of these names that no manifest tells of are not written over.
  Status check_nobodys() const {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(options_.to, error)) {
      const std::string file = entry.path().filename().string();
      if (file.starts_with(options_.name + "_") && file.ends_with(".bin"))
        return fail("wrong_usage", fmt::format("{} is there already, and no {} says what it is of; "
                                               "give another folder or --name",
                                               entry.path().string(), kManifest));
    }
    return {};
  }

  Status encode_all(const tokenizer::Tokenizer& tokenizer) {
    Batches batches(sources_, options_.field, position_);
    std::deque<std::future<Encoded>> under_way;  // in the order of the documents
    bool more = true;
    last_checkpoint_ = Clock::now();
    while (more || !under_way.empty()) {
      while (more && under_way.size() <= static_cast<size_t>(options_.jobs)) {
        BITLOOP_ASSIGN(batch, batches.next());
        more = batch.has_value();
        if (more)
          under_way.push_back(
              std::async(std::launch::async, [this, &tokenizer, documents = std::move(*batch)] {
                return encode(tokenizer, documents, options_.held_out);
              }));
      }
      if (under_way.empty()) break;
      const Encoded encoded = under_way.front().get();
      under_way.pop_front();
      BITLOOP_TRY(take(encoded));
    }
    return {};
  }

  Status take(const Encoded& encoded) {
    const size_t before = shards();
    BITLOOP_TRY(writers_[0]->add(encoded.train));
    BITLOOP_TRY(writers_[1]->add(encoded.validation));
    position_ = encoded.end;
    counts_.documents += encoded.counts.documents;
    counts_.held_out += encoded.counts.held_out;
    const bool goes_on = !options_.on_progress ||
                         options_.on_progress(encoded.read, all_bytes_,
                                              writers_[0]->tokens() + writers_[1]->tokens());
    if (!goes_on || shards() > before || Clock::now() - last_checkpoint_ > kBetweenCheckpoints) {
      for (auto& writer : writers_) BITLOOP_TRY(writer->flush());
      BITLOOP_TRY(write_manifest());
      last_checkpoint_ = Clock::now();
    }
    if (!goes_on) return fail("interrupted", "Interrupted; the same command goes on from there.");
    return {};
  }

  size_t shards() const {
    return writers_[0]->state().shards.size() + writers_[1]->state().shards.size();
  }

  Status write_manifest() const {
    const auto split = [](const ShardWriter& writer) {
      return Json{{"shards", to_json(writer.state().shards)}, {"begun", writer.state().begun}};
    };
    const Json manifest = {
        {"schema_version", 1},
        {"made_by", fmt::format("bitloop {}+{}", version(), git_hash())},
        {"inputs", inputs_},
        {"done", done_},
        {"position", {{"source", position_.source}, {"document", position_.document}}},
        {"documents", counts_.documents},
        {"held_out", counts_.held_out},
        {"train", split(*writers_[0])},
        {"val", split(*writers_[1])}};
    return write_file_atomic(options_.to / kManifest,
                             manifest.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
  }

  Prepared result(bool was_done) const {
    Prepared prepared{counts_.documents, counts_.held_out, {}, {}, 0, 0, was_done};
    prepared.train = was_done ? states_[0].shards : writers_[0]->state().shards;
    prepared.validation = was_done ? states_[1].shards : writers_[1]->state().shards;
    for (const Shard& shard : prepared.train) prepared.train_tokens += shard.tokens;
    for (const Shard& shard : prepared.validation) prepared.validation_tokens += shard.tokens;
    return prepared;
  }

  const PrepareOptions& options_;
  const std::vector<Source> sources_;
  const Json inputs_;
  uint64_t all_bytes_ = 0;
  UniqueFd lock_;
  bool done_ = false;
  Position position_;
  Counts counts_;
  ShardWriter::State states_[2];           // as an earlier call left them: train, validation
  std::optional<ShardWriter> writers_[2];  // the same
  Clock::time_point last_checkpoint_;
};

}  // namespace

Json to_json(const std::vector<Shard>& shards) {
  Json list = Json::array();
  for (const Shard& shard : shards)
    list.push_back({{"file", shard.file}, {"tokens", shard.tokens}, {"sha256", shard.sha256}});
  return list;
}

Result<Prepared> prepare(const PrepareOptions& options) {
  BITLOOP_ASSIGN(sources, list_sources(options.sources));
  return Preparation(options, std::move(sources)).perform();
}

}  // namespace bitloop::data
