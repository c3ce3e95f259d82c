#include "harness/api/mcp/wording.h"

#include <fmt/format.h>

#include <regex>
#include <utility>
#include <vector>

#include "harness/base/text.h"

namespace bitloop::api::mcp {
namespace {

using nlohmann::ordered_json;

// A cell of a table or a value in a sentence: "-" where there is none.
std::string shown(const ordered_json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty() ? "-" : value;
  if (value.is_number_float()) return fmt::format("{:.4f}", value.get<double>());
  if (value.is_null()) return "-";
  if (value.is_array()) {  // flags
    std::vector<std::string> parts;
    for (const ordered_json& part : value) parts.push_back(shown(part));
    return parts.empty() ? "-" : join(parts, ",");
  }
  return value.dump();
}

std::string shown(const ordered_json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? "-" : shown(*found);
}

// A sentence of the service's, whose calls an agent here makes as tools.
std::string in_tools(std::string text) {
  static const std::pair<std::regex, const char*> kCalls[] = {
      {std::regex(R"(POST …/revert \{"test": (\d+)\})"), "revert(n=$1)"},
      {std::regex(R"(POST …/submission \{"test": (\d+)\})"), "submit(n=$1)"},
      {std::regex(R"(GET …/tests/(\d+)\?wait=30)"), "test(n=$1)"},
      {std::regex("POST …/checks"), "check()"},
      {std::regex("POST …/tests"), "test()"},
      {std::regex("POST …/edits"), "edit(…)"},
      {std::regex(R"(\(POST /v1/sessions\), from one of these tests with "from": ("[^"]*"))"),
       "from one of these tests: begin(from=$1)"}};
  for (const auto& [call, tool] : kCalls) text = std::regex_replace(text, call, tool);
  return text;
}

std::string state_line(const ordered_json& state) {
  std::string line =
      fmt::format("[session {}] task {}, from quantizer {}, {}, {} of {} test(s) left",
                  shown(state, "id"), shown(state, "task"), shown(state, "quantizer"),
                  shown(state, "state"), shown(state, "tests_left"), shown(state, "tests_total"));
  if (state.contains("submitted") && !state["submitted"].is_null())
    line += fmt::format(", test #{} is final", shown(state, "submitted"));
  return line;
}

std::string test_lines(const ordered_json& state) {
  std::string lines;
  for (const ordered_json& test : state["tests"]) {
    const ordered_json& metrics = test["metrics"];
    lines += fmt::format("test #{}: {}", shown(test, "test"), shown(test, "status"));
    if (metrics.is_object())
      lines += fmt::format(", val_loss={}, bits_per_weight={}", shown(metrics, "val_loss"),
                           shown(metrics, "bits_per_weight"));
    lines += "\n";
  }
  return lines;
}

std::string table(const ordered_json& rows, const std::vector<const char*>& columns) {
  std::string text = join({columns.begin(), columns.end()}, "\t") + "\n";
  for (const ordered_json& row : rows) {
    std::vector<std::string> cells;
    for (const char* column : columns) cells.push_back(shown(row, column));
    text += join(cells, "\t") + "\n";
  }
  return text;
}

std::string allowed_config(const ordered_json& task) {
  std::vector<std::string> parts;
  for (const auto& [name, bounds] : task["allowed_config"].items())
    parts.push_back(fmt::format("{} {}..{}", name, bounds[0].dump(), bounds[1].dump()));
  return parts.empty() ? "nothing" : join(parts, ", ");
}

}  // namespace

std::string begin_text(const ordered_json& answer) {
  const ordered_json& state = answer["state"];
  const ordered_json& task = answer["task"];
  std::string text = state_line(state) + "\n" + test_lines(state);
  text += fmt::format(
      "Keep this id: with session=\"{0}\" any tool acts on it from any connection, "
      "and begin(session=\"{0}\") takes it up again.\n",
      shown(state, "id"));
  text += shown(task, "description") + "\n";
  if (!task["init_from"].is_null())
    text += "Training begins with a trained float model: " + shown(task, "init_from") + ".\n";
  text += fmt::format("The region config may set: {}.\n", allowed_config(task));
  if (!task["baselines"].empty())
    text += "To beat:\n" + table(task["baselines"], {"name", "val_loss", "bits_per_weight"});
  text += "Read view(path=\"program.md\") first, then view(path=\"lua.md\"), the language.\n\n";
  return text + answer["view"].get<std::string>();
}

std::string check_text(const ordered_json& check) {
  const bool ok = check["ok"];
  std::string text = ok ? fmt::format("[check] ok, bits_per_weight={}, {} ms\n",
                                      shown(check, "bits_per_weight"), shown(check, "ms"))
                        : "[check] FAILED: mend it before you spend a test\n";
  for (const ordered_json& finding : check["findings"])
    text += fmt::format("{} {}: {}\n", finding["ok"] ? "ok    " : "FAILED", shown(finding, "rule"),
                        shown(finding, "detail"));
  for (const ordered_json& warning : check.value("warnings", ordered_json::array()))
    text += "WARNING: " + warning.get<std::string>() + "\n";
  return text;
}

std::string test_text(const ordered_json& test, const std::string& progress) {
  if (test["status"] != "running") return in_tools(test["message"]);
  return fmt::format(
      "{} ({}); call test(n={}) to wait for its end. While it runs the candidate "
      "can't be edited.",
      shown(test, "message"), progress, shown(test, "test"));
}

std::string change_text(const ordered_json& change) {
  std::string text = change["message"].get<std::string>() + "\n";
  for (const ordered_json& warning : change["warnings"])
    text += "WARNING: " + warning.get<std::string>() + "\n";
  return text + change["view"].get<std::string>();
}

std::string summary_text(const ordered_json& summary) {
  std::string text = fmt::format("[session {}] task {}, {}, {} of {} test(s) left\nGoal: {}\n",
                                 shown(summary, "session"), shown(summary, "task"),
                                 shown(summary, "state"), shown(summary, "tests_left"),
                                 shown(summary, "tests_total"), shown(summary, "goal"));
  if (summary["best"].is_object())
    text += fmt::format("Best: test #{}, val_loss={}, bits_per_weight={}\n",
                        shown(summary["best"], "test"), shown(summary["best"], "val_loss"),
                        shown(summary["best"], "bits_per_weight"));
  text += summary["noise"].is_null() ? "Noise: not measured\n"
                                     : fmt::format("Noise: ±{}\n", shown(summary, "noise"));
  text += fmt::format("Tags: {}\nTried, newest first:\n", shown(summary, "tags"));
  for (const ordered_json& idea : summary["ideas"]) {
    text += fmt::format("test #{}: {}, {}, val_loss={}, bits_per_weight={}, tags {}: {}\n",
                        shown(idea, "test"), shown(idea, "status"), shown(idea, "verdict"),
                        shown(idea, "val_loss"), shown(idea, "bits_per_weight"),
                        shown(idea, "tags"), shown(idea, "description"));
    if (idea.contains("diff") && idea["diff"].is_object())
      for (const ordered_json& line : idea["diff"]["lines"])
        text += "    " + line.get<std::string>() + "\n";
  }
  if (summary["ideas_left_out"] != 0)
    text += fmt::format("and {} before them\n", shown(summary, "ideas_left_out"));
  return text + "Next: " + in_tools(shown(summary, "next"));
}

std::string results_text(const ordered_json& answer) {
  std::string text;
  if (answer.contains("state")) {
    text += state_line(answer["state"]) + "\n" + test_lines(answer["state"]) + "History:\n";
    for (const ordered_json& event : answer["history"])
      text += fmt::format("{}  {}\n", event["commit"].get<std::string>().substr(0, 10),
                          shown(event, "message"));
  } else {
    text +=
        "Sessions:\n" + table(answer["sessions"], {"id", "task", "agent", "state", "tests_left"});
  }
  return text + "\nResults, lowest val_loss first:\n" +
         table(answer["results"], {"session", "test", "task", "quantizer", "status", "flags",
                                   "val_loss", "bits_per_weight", "description"});
}

}  // namespace bitloop::api::mcp
