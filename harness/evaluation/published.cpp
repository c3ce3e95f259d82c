#include "harness/evaluation/published.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>
#include <vector>

namespace bitloop::evaluation {
namespace {

namespace fs = std::filesystem;

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

// Data sets on Hugging Face: what a folder (or the file) is called, and the splits that are asked,
// the first that there is.
struct Set {
  std::string_view part, file;
  Form form;
  std::string_view first, second;
};
constexpr Set kSets[] = {
    {"arceasy", "arc_easy.jsonl", Form::kLines, "test", ""},
    {"arcchallenge", "arc_challenge.jsonl", Form::kLines, "test", ""},
    {"hellaswag", "hellaswag.jsonl", Form::kLines, "validation", ""},
    {"piqa", "piqa.jsonl", Form::kLines, "validation", ""},
    {"winogrande", "winogrande.jsonl", Form::kLines, "validation", ""},
    {"lambada", "lambada.jsonl", Form::kLines, "test", ""},
    {"wikitext2raw", "wikitext2.jsonl", Form::kPages, "test", "validation"},
};
// Folders of lambada_openai's translations; "default" and "en" are the English text.
constexpr std::string_view kTranslations[] = {"de", "es", "fr", "it"};

std::string normal(const std::string& name) {
  std::string made;
  for (const char c : name)
    if (c != '-' && c != '_')
      made += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return made;
}

std::vector<std::string> words_of(const std::string& name) {
  std::vector<std::string> words(1);
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)))
      words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    else if (!words.back().empty())
      words.emplace_back();
  }
  return words;
}

// The split that a name has among its words, or "".
std::string_view split_in(const std::string& name) {
  constexpr std::pair<std::string_view, std::string_view> kWords[] = {
      {"train", "train"},    {"validation", "validation"}, {"valid", "validation"},
      {"val", "validation"}, {"dev", "validation"},        {"test", "test"}};
  for (const std::string& word : words_of(name))
    for (const auto& [written, split] : kWords)
      if (word == written) return split;
  return "";
}

std::optional<int> number(std::string_view digits) {
  int value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || digits.size() > 6 || error != std::errc() ||
      end != digits.data() + digits.size() || value < 0)
    return std::nullopt;
  return value;
}

// "test-00001-of-00003": series "test", part 1 of 3. "0002": series "", part 2 of nobody knows.
void read_part(const std::string& stem, Place& place) {
  place.series = stem;
  place.parts = 1;
  if (const auto only = number(stem)) {
    place.series.clear();
    place.part = *only;
    place.parts = 0;
    return;
  }
  const size_t of = stem.rfind("-of-");
  const size_t dash = of == std::string::npos || of == 0 ? of : stem.rfind('-', of - 1);
  if (dash == std::string::npos || of == 0) return;
  const auto part = number(std::string_view(stem).substr(dash + 1, of - dash - 1));
  const auto parts = number(std::string_view(stem).substr(of + 4));
  if (!part || !parts || *part >= *parts) return;
  place.series = stem.substr(0, dash) + stem.substr(of);
  place.part = *part;
  place.parts = *parts;
}

}  // namespace

std::optional<Use> use_of(const fs::path& path, const std::string& sha256) {
  for (const Known& known : kKnown)
    if (known.sha256 == sha256) return Use{known.file, known.form, true, 0};
  const std::string name = normal(path.filename().string());
  for (const Named& named : kNamed)
    if (name.find(named.part) != std::string::npos) return Use{named.file, named.form, false, 0};
  return std::nullopt;
}

std::optional<Place> place_of(const fs::path& path) {
  // From the file to the folder that was given.
  std::vector<std::string> names;
  for (const fs::path& name : path) names.insert(names.begin(), name.string());
  if (names.empty()) return std::nullopt;
  names[0] = path.stem().string();

  const Set* found = nullptr;
  std::string_view split;
  bool translated = false;
  for (const std::string& name : names) {
    if (split.empty()) split = split_in(name);
    translated = translated || std::ranges::find(kTranslations, name) != std::end(kTranslations);
    for (const Set& set : kSets)
      if (found == nullptr && normal(name).find(set.part) != std::string::npos) found = &set;
    if (found != nullptr && !split.empty()) break;
  }
  if (found == nullptr) return std::nullopt;

  Place place{.use = {found->file, found->form, false, 0}, .series = {}, .why_not = {}};
  read_part(names[0], place);
  place.series = (path.parent_path() / place.series).string();
  place.use.rank = split == found->first ? 0 : 1;
  if (found->file == "lambada.jsonl" && translated)
    place.why_not = "a translation; lambada is asked in English";
  else if (split.empty() || (split != found->first && split != found->second))
    place.why_not = fmt::format(
        "{}, and {} is made of the {} split",
        split.empty() ? std::string("its name says no split") : fmt::format("the {} split", split),
        found->file, found->first);
  return place;
}

}  // namespace bitloop::evaluation
