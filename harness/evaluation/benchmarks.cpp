#include "harness/evaluation/benchmarks.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "harness/base/fd.h"
#include "harness/base/sha256.h"
#include "harness/base/text.h"

namespace bitloop::evaluation {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kMaxFile = size_t{4} << 30;

enum class Form { kLines, kPages };  // JSON objects, one a line; WikiText's raw text

struct Known {
  std::string_view sha256, file;
  Form form;
};
// Files that results of this version were compared with those of lm-evaluation-harness on.
constexpr Known kKnown[] = {
    {"d63b818ae3405454adf442a68fc6b072b006b676e8d190d1115b7d75a058f5b8", "arc_easy.jsonl",
     Form::kLines},
    {"eba391c83128823647185961dbb832e388b81f42df6769e192dee36be6ed9d4a", "arc_challenge.jsonl",
     Form::kLines},
    {"eb427eb1791d2e283428b4c13c7edf31aaa2f03031d69a19df461c5fe30e3694", "hellaswag.jsonl",
     Form::kLines},
    {"61533005e22f175534909b1ec8eacb6da03c233933558d1bafb15787453b1f55", "piqa.jsonl",
     Form::kLines},
    {"69f3d7f3a900d775339b04c7de672609c40fca573e50f594f2ae66d8782505be", "winogrande.jsonl",
     Form::kLines},
    {"4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226", "lambada.jsonl",
     Form::kLines},
    {"4cd0f6876d07a413aa911261ff6d363c72d757d47f0fdd6015702014c89cb9c7", "wikitext2.jsonl",
     Form::kPages},
};

struct Named {
  std::string_view part, file;  // what the file's name has in it, in lower case and without - and _
  Form form;
};
constexpr Named kNamed[] = {
    {"arceasy", "arc_easy.jsonl", Form::kLines},
    {"arcchallenge", "arc_challenge.jsonl", Form::kLines},
    {"hellaswag", "hellaswag.jsonl", Form::kLines},
    {"piqa", "piqa.jsonl", Form::kLines},
    {"winogrande", "winogrande.jsonl", Form::kLines},
    {"lambada", "lambada.jsonl", Form::kLines},
    {"wiki.test", "wikitext2.jsonl", Form::kPages},
    {"wiki.valid", "wikitext2.jsonl", Form::kPages},
};

struct Use {
  std::string_view file;
  Form form;
  bool known;
};

// A file that is used.
struct Chosen {
  size_t index = 0;  // among all
  Form form = Form::kLines;
  std::string text;
};

std::optional<Use> use_of(const fs::path& path, const std::string& sha256) {
  for (const Known& known : kKnown)
    if (known.sha256 == sha256) return Use{known.file, known.form, true};
  std::string name;
  for (const char c : path.filename().string())
    if (c != '-' && c != '_')
      name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const Named& named : kNamed)
    if (name.find(named.part) != std::string::npos) return Use{named.file, named.form, false};
  return std::nullopt;
}

std::unexpected<Error> bad(const fs::path& path, int64_t line, const std::string& what) {
  return fail("bad_benchmark", fmt::format("{}, line {}: {}", path.string(), line, what));
}

struct Documents {
  std::string text;
  int64_t count = 0;
};

// The lines as they are, each a whole JSON object.
Result<Documents> take_lines(const fs::path& path, const std::string& text) {
  Documents documents;
  int64_t number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const Json document = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!document.is_object()) return bad(path, number, "it is no JSON object, or cut short");
    documents.text += line + "\n";
    ++documents.count;
  }
  return documents;
}

// " = Title = ": a heading of the first level, with which a page begins.
bool begins_page(std::string_view line) {
  return line.starts_with(" = ") && line.ends_with(" = ") && line.size() > 6 &&
         !line.starts_with(" = =");
}

// WikiText's pages: from one heading of the first level to the next, which an empty line stands
// before and after.
Result<Documents> take_pages(const std::string& text) {
  Documents documents;
  std::string page;
  const auto has_text = [&] { return page.find_first_not_of(" \n") != std::string::npos; };
  const auto add = [&] {
    if (!has_text()) return;
    documents.text +=
        Json{{"page", page}}.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    ++documents.count;
  };
  const std::vector<std::string> lines = split(text, '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    const bool alone =
        (i == 0 || lines[i - 1].find_first_not_of(' ') == std::string::npos) &&
        (i + 1 >= lines.size() || lines[i + 1].find_first_not_of(' ') == std::string::npos);
    if (alone && begins_page(lines[i]) && has_text()) {
      add();
      page.clear();
    }
    page += lines[i];
    if (i + 1 < lines.size()) page += "\n";
  }
  add();
  return documents;
}

}  // namespace

Result<std::vector<Prepared>> prepare_benchmarks(const fs::path& folder, const fs::path& to,
                                                 bool unverified) {
  std::error_code failed;
  std::vector<fs::path> sources;
  for (fs::recursive_directory_iterator
           entry(folder, fs::directory_options::skip_permission_denied, failed),
       end;
       !failed && entry != end; entry.increment(failed)) {
    const std::string kind = entry->path().extension().string();
    std::error_code ignored;
    if ((kind == ".jsonl" || kind == ".txt" || kind == ".raw") && entry->is_regular_file(ignored))
      sources.push_back(entry->path());
  }
  if (failed)
    return fail("file_not_found", fmt::format("{}: {}", folder.string(), failed.message()));
  std::sort(sources.begin(), sources.end());

  std::vector<Prepared> prepared;
  std::map<std::string, Chosen> chosen;  // by the file that comes of it
  for (const fs::path& source : sources) {
    BITLOOP_ASSIGN(text, read_file(source, kMaxFile));
    Sha256 hash;
    hash.add(text);
    Prepared entry{.source = source, .file = {}, .sha256 = hash.finish(), .why_not = {}};
    const auto use = use_of(source, entry.sha256);
    if (!use) {
      entry.why_not = "no benchmark that this version knows";
    } else if (!use->known && !unverified) {
      entry.why_not =
          fmt::format("not the file that {} was tested with; --unverified takes it", use->file);
    } else {
      entry.known = use->known;
      entry.file = use->file;
      const auto before = chosen.find(entry.file);
      Prepared* const other = before == chosen.end() ? nullptr : &prepared[before->second.index];
      if (other == nullptr || (!other->known && entry.known)) {
        if (other != nullptr) {
          other->file.clear();
          other->why_not = "another file is the one that was tested";
        }
        chosen[entry.file] = {prepared.size(), use->form, std::move(text)};
      } else {
        entry.why_not = fmt::format("{} is there already", entry.file);
        entry.file.clear();
      }
    }
    prepared.push_back(std::move(entry));
  }

  if (chosen.empty()) return prepared;
  fs::create_directories(to, failed);
  if (failed) return fail("io_error", fmt::format("{}: {}", to.string(), failed.message()));
  // What other folders gave stays.
  Json manifest = Json::object();
  if (const auto before = read_file(to / "benchmarks.json"))
    manifest = Json::parse(*before, nullptr, /*allow_exceptions=*/false);
  if (!manifest.is_object()) manifest = Json::object();
  std::map<std::string, std::string> made;  // written when all are good
  for (const auto& [file, use] : chosen) {
    Prepared& entry = prepared[use.index];
    BITLOOP_ASSIGN(documents, use.form == Form::kPages ? take_pages(use.text)
                                                       : take_lines(entry.source, use.text));
    entry.documents = documents.count;
    if (entry.documents == 0) return bad(entry.source, 1, "the file has no documents");
    made[file] = std::move(documents.text);
    manifest[file] = {{"source", entry.source.filename().string()},
                      {"sha256", entry.sha256},
                      {"known", entry.known},
                      {"documents", entry.documents}};
  }
  for (const auto& [file, text] : made) BITLOOP_TRY(write_file_atomic(to / file, text));
  BITLOOP_TRY(write_file_atomic(to / "benchmarks.json", manifest.dump(1) + "\n"));
  return prepared;
}

}  // namespace bitloop::evaluation
