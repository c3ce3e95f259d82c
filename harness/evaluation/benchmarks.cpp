#include "harness/evaluation/benchmarks.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "harness/base/fd.h"
#include "harness/base/sha256.h"
#include "harness/evaluation/documents.h"
#include "harness/evaluation/parquet.h"
#include "harness/evaluation/published.h"

namespace bitloop::evaluation {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kMaxFile = size_t{4} << 30, kMaxParquet = size_t{256} << 20,
                 kMaxRows = size_t{512} << 20;  // of all parts, as text
constexpr const char* kParquet = ".parquet";

// A file that is used, if no better one is found: one source, or several parts of Parquet.
struct Candidate {
  std::vector<size_t> entries;  // in their order, among all
  Use use;
  std::string text;  // not of Parquet, which is read when nothing better was found
};

// The rows of a candidate's parts, one after the other. Sets the parts' hashes.
Result<std::string> rows_of(const Candidate& candidate, bool allow_degraded,
                            std::vector<Prepared>& prepared) {
  std::string lines;
  for (const size_t index : candidate.entries) {
    Prepared& entry = prepared[index];
    BITLOOP_ASSIGN(content, read_file(entry.source, kMaxParquet));
    Sha256 hash;
    hash.add(content);
    entry.sha256 = hash.finish();
    const auto rows = parquet_lines(content, allow_degraded);
    if (!rows && rows.error().code == "bad_parquet")
      return fail("bad_benchmark",
                  fmt::format("{}: {}", entry.source.string(), rows.error().message));
    if (!rows) return std::unexpected(rows.error());
    if (rows->size() > kMaxRows - lines.size())
      return fail("bad_benchmark", fmt::format("{}: with it the rows are more than {} MiB of text",
                                               entry.source.string(), kMaxRows >> 20));
    lines += *rows;
  }
  return lines;
}

Result<std::vector<fs::path>> sources_in(const fs::path& folder) {
  std::error_code failed;
  std::vector<fs::path> sources;
  for (fs::recursive_directory_iterator
           entry(folder, fs::directory_options::skip_permission_denied, failed),
       end;
       !failed && entry != end; entry.increment(failed)) {
    const std::string kind = entry->path().extension().string();
    std::error_code ignored;
    if ((kind == ".jsonl" || kind == ".txt" || kind == ".raw" || kind == kParquet) &&
        entry->is_regular_file(ignored))
      sources.push_back(entry->path());
  }
  if (failed)
    return fail("file_not_found", fmt::format("{}: {}", folder.string(), failed.message()));
  std::sort(sources.begin(), sources.end());
  return sources;
}

// All files that were looked at, and of those that could be used the best for each file that
// evaluation reads.
struct Choice {
  std::vector<Prepared> prepared;
  std::map<std::string_view, Candidate> chosen;

  // The better of two stays; of equals the first.
  void offer(Candidate candidate) {
    for (const size_t index : candidate.entries) {
      prepared[index].file = candidate.use.file;
      prepared[index].known = candidate.use.known;
    }
    const auto [at, is_new] = chosen.try_emplace(candidate.use.file);
    if (!is_new) {
      const Use &old = at->second.use, &mine = candidate.use;
      if (mine.known && !old.known) {
        refuse(at->second, "another file is the one that was tested");
      } else if (mine.known == old.known && mine.rank < old.rank) {
        refuse(at->second, "of two splits the other comes first");
      } else {
        refuse(candidate, fmt::format("{} is there already", mine.file));
        return;
      }
    }
    at->second = std::move(candidate);
  }

  void refuse(const Candidate& candidate, const std::string& why) {
    for (const size_t index : candidate.entries) {
      prepared[index].file.clear();
      prepared[index].known = false;
      prepared[index].why_not = why;
    }
  }
};

constexpr const char* kUnknown = "no benchmark that this version knows";
constexpr const char* kNotTested = "not the file that {} was tested with; --unverified takes it";

Status look_at_file(const fs::path& source, bool unverified, Choice& choice) {
  BITLOOP_ASSIGN(text, read_file(source, kMaxFile));
  Sha256 hash;
  hash.add(text);
  Prepared entry{.source = source, .file = {}, .sha256 = hash.finish(), .why_not = {}};
  const auto use = use_of(source, entry.sha256);
  if (!use)
    entry.why_not = kUnknown;
  else if (!use->known && !unverified)
    entry.why_not = fmt::format(kNotTested, use->file);
  const bool usable = entry.why_not.empty();
  choice.prepared.push_back(std::move(entry));
  if (usable) choice.offer({{choice.prepared.size() - 1}, *use, std::move(text)});
  return {};
}

// The parts of one Parquet file: their numbers in prepared by their numbers in the name.
struct Series {
  std::map<int, size_t> entries;
  Place place;
};

void offer_series(const Series& series, Choice& choice) {
  Candidate candidate{{}, series.place.use, {}};
  int next = 0;
  const int last = series.entries.rbegin()->first,
            parts = series.place.parts > 0 ? series.place.parts : last + 1;
  for (const auto& [part, index] : series.entries) {
    candidate.entries.push_back(index);
    choice.prepared[index].part = part;
    next += part == next ? 1 : 0;
  }
  if (next == parts)
    choice.offer(std::move(candidate));
  else
    choice.refuse(candidate, fmt::format("part {} of {} is not there", next, parts));
}

// Where the files lie tells what they are. `root`: absolute, of the folder that was given.
void look_at_parquet(const std::vector<fs::path>& sources, const fs::path& root, bool unverified,
                     Choice& choice) {
  std::map<std::string, Series> series;
  for (const fs::path& source : sources) {
    Prepared entry{.source = source, .file = {}, .sha256 = {}, .why_not = {}};
    const auto place = place_of(fs::absolute(source).lexically_normal().lexically_relative(root));
    if (!place)
      entry.why_not = kUnknown;
    else if (!place->why_not.empty())
      entry.why_not = place->why_not;
    else if (!unverified)
      entry.why_not = fmt::format(kNotTested, place->use.file);
    if (entry.why_not.empty()) {
      Series& parts = series[place->series];
      parts.place = *place;
      if (!parts.entries.emplace(place->part, choice.prepared.size()).second)
        entry.why_not = fmt::format("part {} is there already", place->part);
    }
    choice.prepared.push_back(std::move(entry));
  }
  for (const auto& [name, parts] : series) offer_series(parts, choice);
}

// What the manifest says about a file: names and hashes of its sources, lists where it has parts.
Json describe(const Candidate& candidate, const std::vector<Prepared>& prepared,
              const fs::path& root) {
  Json sources = Json::array(), hashes = Json::array();
  for (const size_t index : candidate.entries) {
    const fs::path& source = prepared[index].source;
    // Data sets call all their files "test-00000-of-00001.parquet".
    const bool is_parquet = source.extension() == kParquet;
    sources.push_back((is_parquet ? fs::absolute(source).lexically_normal().lexically_relative(root)
                                  : source.filename())
                          .string());
    hashes.push_back(prepared[index].sha256);
  }
  const Prepared& first = prepared[candidate.entries.front()];
  const bool one = candidate.entries.size() == 1;
  return {{"source", one ? sources[0] : sources},
          {"sha256", one ? hashes[0] : hashes},
          {"known", first.known},
          {"documents", first.documents}};
}

Result<Documents> documents_of(const Candidate& candidate, const Preparation& preparation,
                               std::vector<Prepared>& prepared) {
  const fs::path source = prepared[candidate.entries.front()].source;
  const bool pages = candidate.use.form == Form::kPages;
  if (source.extension() == kParquet) {
    BITLOOP_ASSIGN(rows, rows_of(candidate, preparation.allow_degraded, prepared));
    return pages ? take_rows(source, rows) : take_lines(source, rows);
  }
  return pages ? take_pages(candidate.text) : take_lines(source, candidate.text);
}

}  // namespace

Result<std::vector<Prepared>> prepare_benchmarks(const Preparation& preparation) {
  const fs::path& to = preparation.to;
  BITLOOP_ASSIGN(sources, sources_in(preparation.folder));
  // Paths below begin with the folder's own name, which may be that of a data set.
  fs::path folder = fs::absolute(preparation.folder).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  const fs::path root = folder.parent_path();

  Choice choice;
  std::vector<fs::path> parquet;
  for (const fs::path& source : sources) {
    if (source.extension() == kParquet)
      parquet.push_back(source);
    else
      BITLOOP_TRY(look_at_file(source, preparation.unverified, choice));
  }
  look_at_parquet(parquet, root, preparation.unverified, choice);
  if (choice.chosen.empty()) return choice.prepared;

  std::map<std::string_view, std::string> made;  // written when all are good
  Json described = Json::object();
  for (const auto& [file, candidate] : choice.chosen) {
    Prepared& entry = choice.prepared[candidate.entries.front()];
    BITLOOP_ASSIGN(documents, documents_of(candidate, preparation, choice.prepared));
    entry.documents = documents.count;
    if (entry.documents == 0)
      return fail("bad_benchmark",
                  fmt::format("{}: the file has no documents", entry.source.string()));
    made[file] = std::move(documents.text);
    described[std::string(file)] = describe(candidate, choice.prepared, root);
  }
  std::error_code failed;
  fs::create_directories(to, failed);
  if (failed) return fail("io_error", fmt::format("{}: {}", to.string(), failed.message()));
  // What other folders gave stays.
  Json manifest = Json::object();
  if (const auto before = read_file(to / "benchmarks.json"))
    manifest = Json::parse(*before, nullptr, /*allow_exceptions=*/false);
  if (!manifest.is_object()) manifest = Json::object();
  manifest.update(described);
  for (const auto& [file, text] : made) BITLOOP_TRY(write_file_atomic(to / file, text));
  BITLOOP_TRY(write_file_atomic(
      to / "benchmarks.json", manifest.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"));
  return choice.prepared;
}

}  // namespace bitloop::evaluation
