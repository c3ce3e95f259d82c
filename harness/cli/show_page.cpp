#include "harness/cli/show_page.h"

#include <fmt/format.h>

#include "harness/base/text.h"
#include "harness/cli/curve.h"
#include "harness/cli/terminal.h"

namespace bitloop::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kSparkWidth = 60;
constexpr size_t kLogLines = 5;
constexpr int kNameWidth = 12;

// A member as one line of text; "-" where it is missing or null.
std::string text_of(const Json& document, const char* name) {
  const auto found = document.find(name);
  if (found == document.end() || found->is_null()) return "-";
  const std::string text =
      single_line(found->is_string() ? found->get<std::string>() : found->dump());
  return text.empty() ? "-" : text;
}

std::string field(const char* name, const std::string& value) {
  return value == "-" ? "" : fmt::format("{:<{}}{}\n", name, kNameWidth, value);
}

std::string title(const char* name) { return fmt::format("\n{}\n", name); }

std::string metrics_of(const Json& metrics) {
  std::string text;
  for (const auto& [name, value] : metrics.items())
    if (value.is_number_integer())
      text += fmt::format("  {:<24}{}\n", name, value.get<int64_t>());
    else if (value.is_number())
      text += fmt::format("  {:<24}{:.6g}\n", name, value.get<double>());
  return text;
}

std::string signed_loss(const Json& difference) {
  return difference.is_number() ? fmt::format("{:+.4f}", difference.get<double>()) : "-";
}

// What the test says against the session's best before it and the task's baselines.
std::string decision_of(const Json& decision) {
  if (!decision.is_object()) return "";
  std::string text;
  const auto line = [&](const std::string& name, const std::string& value) {
    text += fmt::format("  {:<18}{}\n", name, value);
  };
  line("verdict", text_of(decision, "verdict"));
  if (const Json& against = decision.at("against"); against.is_object())
    line("against", fmt::format("test #{} (val_loss {:.4f})", text_of(against, "test"),
                                against.at("val_loss").get<double>()));
  if (const Json& noise = decision.at("noise"); decision.at("difference").is_number())
    line("difference",
         signed_loss(decision["difference"]) +
             (noise.is_number() ? fmt::format(" (noise ±{:.4f})", noise.get<double>()) : ""));
  if (const std::string twin = text_of(decision, "same_as"); twin != "-")
    line("same score as", "test #" + twin);
  for (const Json& baseline : decision.at("baselines"))
    line(text_of(baseline, "name"), fmt::format("{} ({})", text_of(baseline, "verdict"),
                                                signed_loss(baseline.at("difference"))));
  line("advice", text_of(decision, "advice"));
  return text;
}

// "median, good (#1)": a session's tags, and those of its tests.
std::string tags_of(const Json& tags) {
  std::string text;
  for (const Json& tag : tags) {
    const bool plain = tag.is_string();  // a test's document lists its own
    text += (text.empty() ? "" : ", ") + (plain ? tag.get<std::string>() : text_of(tag, "tag"));
    if (!plain && !tag.at("test").is_null()) text += fmt::format(" (#{})", text_of(tag, "test"));
  }
  return text.empty() ? "-" : text;
}

std::string findings_of(const Json& findings) {
  std::string text;
  for (const Json& finding : findings) {
    if (!finding.is_object()) continue;
    const Json ok = finding.value("ok", Json());
    text += fmt::format("  {}  {:<16} {}\n", ok == true ? "ok    " : "FAILED",
                        text_of(finding, "rule"), text_of(finding, "detail"));
  }
  return text;
}

std::string jail_of(const Json& jail) {
  if (!jail.is_object()) return "";
  std::string text;
  const Json layers = jail.value("layers", Json::array());
  for (const Json& layer : layers)
    if (layer.is_object())
      text += fmt::format("  {:<18}{}\n", text_of(layer, "layer"), text_of(layer, "state"));
  if (const std::string killed_by = text_of(jail, "killed_by"); killed_by != "-")
    text += fmt::format("  {:<18}{}\n", "killed by", killed_by);
  return text;
}

std::string curve_of(std::string_view log) {
  const Curve curve = read_curve(log);
  if (curve.lines.empty()) return "";
  std::string text;
  for (const char* name : {"train_loss", "eval_ppl"}) {
    const std::vector<double> values = curve.values(name);
    if (values.size() < 2) continue;
    text += fmt::format("  {:<12}{:.4f} {} {:.4f}\n", name, values.front(),
                        sparkline(values, kSparkWidth), values.back());
  }
  return text + last_lines(curve, kLogLines);
}

}  // namespace

std::string session_page(const Json& document) {
  std::string text =
      fmt::format("Session {} ({})\n", text_of(document, "session"), text_of(document, "state"));
  for (const char* name : {"type", "agent", "task", "quantizer", "created", "commit"})
    text += field(name, text_of(document, name));
  if (const std::string left = text_of(document, "tests_left"); left != "-")
    text += field("tests", fmt::format("{} of {} left", left, text_of(document, "tests_total")));
  text += field("fork of", text_of(document, "forked_from"));
  text += field("tags", tags_of(document.at("tags")));
  text += field("best", text_of(document, "best"));
  text += field("submitted", text_of(document, "submitted"));
  if (document.at("tests").empty()) return text + "\nNo tests yet.\n";
  text += title("Tests");
  for (const Json& test : document.at("tests")) {
    const auto number = [&](const char* name, int decimals) {
      const Json& value = test.at(name);
      return value.is_number() ? fmt::format("{:.{}f}", value.get<double>(), decimals) : "-";
    };
    text += fmt::format("  {:>4}  {:<14} {:>8} {:>7}  {}\n", text_of(test, "test"),
                        text_of(test, "status"), number("val_loss", 4),
                        number("bits_per_weight", 3), text_of(test, "description"));
  }
  return text + fmt::format("\nOne of them: bitloop show {}/N\n", text_of(document, "session"));
}

std::string test_page(const Json& document, std::string_view log, bool color) {
  std::string text = fmt::format("Test {}/{}: {}{}\n", text_of(document, "session"),
                                 text_of(document, "test"), text_of(document, "status"),
                                 document.at("submitted") == true ? ", submitted as final" : "");
  text += field("idea", text_of(document, "description"));
  for (const char* name :
       {"task", "quantizer", "agent", "type", "seed", "time", "version", "commit"})
    text += field(name, text_of(document, name));
  std::string flags;
  for (const Json& flag : document.at("flags"))
    flags += (flags.empty() ? "" : ", ") + single_line(flag.get<std::string>());
  text += field("flags", flags.empty() ? "-" : flags);
  text += field("tags", tags_of(document.at("tags")));
  const auto section = [&](const char* name, const std::string& body) {
    if (!body.empty()) text += title(name) + body;
  };
  section("Message", harmless_lines(document.at("message").get<std::string>(), "  "));
  section("Metrics", metrics_of(document.at("metrics")));
  const std::string noise = text_of(document, "noise");
  section("Decision",
          decision_of(document.at("decision")) + (noise == "-" ? "" : "  " + noise + "\n"));
  section("Findings", findings_of(document.at("findings")));
  section("Jail", jail_of(document.at("jail")));
  section("Curve", curve_of(log));
  std::string files;
  for (const Json& file : document.at("files"))
    files += fmt::format("  {}/{}\n", text_of(document, "folder"), file.get<std::string>());
  section("Files",
          files.empty() ? fmt::format("  gone: {}\n", text_of(document, "folder")) : files);
  if (const Json& diff = document.at("diff"); diff.is_string()) {
    const auto changes = diff.get<std::string>();
    section("Changes", changes.empty() ? "  none: the candidate is what it started from\n"
                       : color         ? colored_diff(changes)
                                       : changes);
  }
  return text;
}

}  // namespace bitloop::cli
