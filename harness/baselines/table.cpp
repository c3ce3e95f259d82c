#include "harness/baselines/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "harness/base/text.h"

namespace bitloop::baselines {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kColumns = {
    TableColumn{"name", "", "the quantizer's file, without `.lua`"},
    TableColumn{"bits_per_weight", "bits", "declared, as in the ledger"},
    TableColumn{"pareto", "", "`true`: no other has a lower mean `val_loss` at no more bits"},
    TableColumn{"seeds", "", "runs that ended `ok`, over which the numbers go"},
    TableColumn{"val_loss", "nats/token", "mean over seeds"},
    TableColumn{"val_loss_sd", "nats/token", "standard deviation of the sample over seeds"},
    TableColumn{"val_loss_min", "nats/token", "lowest"},
    TableColumn{"val_loss_max", "nats/token", "highest"},
    TableColumn{"val_losses", "nats/token", "each seed's, in the seeds' order, joined by commas"},
    TableColumn{"to_ternary", "nats/token", "mean difference to `ternary`, paired by seed"},
    TableColumn{"to_ternary_in_se", "", "that difference in its standard errors"},
    TableColumn{"to_float", "nats/token", "mean difference to `float`, paired by seed"},
    TableColumn{"to_float_in_se", "", "that difference in its standard errors"},
    TableColumn{"packed_bits_per_weight", "bits", "the payload of the packed file"},
    TableColumn{"wikitext2_ppl", "", "block perplexity, mean over seeds; empty: not measured"},
    TableColumn{"lambada_ppl", "", "likewise"},
    TableColumn{"arc_easy", "%", "accuracy, mean over seeds; empty: not measured"},
    TableColumn{"hellaswag", "%", "likewise"},
    TableColumn{"piqa", "%", "likewise"},
    TableColumn{"winogrande", "%", "likewise"},
    TableColumn{"train_s", "s", "wall time of training, median"},
    TableColumn{"tokens_per_s", "tokens/s", "training throughput, median"},
    TableColumn{"peak_memory_mb", "MiB", "largest resident set of a run"},
    TableColumn{"params", "", "parameters of the model"},
    TableColumn{"tokens", "", "tokens trained on"},
    TableColumn{"statuses", "", "how the runs ended, as `status:count` joined by commas"},
    TableColumn{"flags", "", "the ledger's flags of any run, joined by commas"},
    TableColumn{"precision", "", "of the training products"},
    TableColumn{"device", "", "what it ran on"},
    TableColumn{"version", "", "bitloop's version and commit; several are joined by commas"},
    TableColumn{"date", "UTC", "day on which the newest run ended"},
    TableColumn{"doc", "", "the quantizer's own description"},
};

Json number(const ledger::Number& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json();
}
Json integer(const ledger::Integer& value) { return value ? Json(*value) : Json(); }

Json in_standard_errors(const std::optional<PairedDifference>& difference) {
  if (!difference || !difference->standard_error || *difference->standard_error == 0) return {};
  return difference->mean / *difference->standard_error;
}

// One value a column, in their order: text, number, list or null.
std::array<Json, kColumns.size()> values_of(const Entry& entry) {
  const auto mean = [](const std::optional<PairedDifference>& difference) {
    return difference ? Json(difference->mean) : Json();
  };
  const auto benchmark = [&](const char* name) {
    const auto found = entry.benchmarks.find(name);
    return found == entry.benchmarks.end() ? Json() : Json(found->second);
  };
  Json losses = Json::array();
  for (const SeedResult& seed : entry.seeds) losses.push_back(number(seed.val_loss));
  const std::optional<Spread>& loss = entry.val_loss;
  return {entry.name,
          number(entry.bits_per_weight),
          entry.pareto,
          entry.count("ok"),
          loss ? Json(loss->mean) : Json(),
          loss ? number(loss->sd) : Json(),
          loss ? Json(loss->low) : Json(),
          loss ? Json(loss->high) : Json(),
          losses,
          mean(entry.to_ternary),
          in_standard_errors(entry.to_ternary),
          mean(entry.to_float),
          in_standard_errors(entry.to_float),
          number(entry.packed_bits_per_weight),
          benchmark("wikitext2_ppl"),
          benchmark("lambada_ppl"),
          benchmark("arc_easy"),
          benchmark("hellaswag"),
          benchmark("piqa"),
          benchmark("winogrande"),
          number(entry.train_s),
          number(entry.tokens_per_s),
          number(entry.peak_memory_mb),
          integer(entry.params),
          integer(entry.tokens),
          entry.statuses(),
          entry.flags,
          join(entry.precisions, ","),
          join(entry.devices, ","),
          join(entry.versions, ","),
          entry.time.substr(0, 10),
          single_line(entry.doc)};
}

// Six decimals are far below any noise; trailing zeros are not written.
std::string decimal(double value) { return format_number(std::round(value * 1e6) / 1e6); }

std::string field(const Json& value) {
  if (value.is_null()) return "";
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  if (value.is_number_float()) return decimal(value.get<double>());
  if (value.is_string()) return single_line(value.get<std::string>());
  if (!value.is_array()) return value.dump();
  std::vector<std::string> parts;
  for (const Json& item : value) parts.push_back(field(item));
  return join(parts, ",");
}

std::string seeds_text(const std::vector<int64_t>& seeds) {
  std::vector<std::string> parts;
  for (const int64_t seed : seeds) parts.push_back(std::to_string(seed));
  return join(parts, ",");
}

}  // namespace

std::span<const TableColumn> table_columns() { return kColumns; }

std::string table_text(const Summary& summary) {
  std::string text = fmt::format("# task {}, {} steps, seeds {}\n", summary.task, summary.steps,
                                 seeds_text(summary.seeds));
  if (summary.noise_floor)
    text += fmt::format(
        "# noise floor: {} nats/token (standard deviation over seeds, pooled, {} degrees of "
        "freedom)\n",
        decimal(summary.noise_floor->sd), summary.noise_floor->degrees_of_freedom);
  std::vector<std::string> fields;
  for (const TableColumn& column : kColumns) fields.push_back(column.name);
  text += join(fields, "\t") + "\n";
  for (const Entry& entry : summary.entries) {
    fields.clear();
    for (const Json& value : values_of(entry)) fields.push_back(field(value));
    text += join(fields, "\t") + "\n";
  }
  return text;
}

nlohmann::ordered_json table_json(const Summary& summary) {
  Json list = Json::array();
  for (const Entry& entry : summary.entries) {
    Json item;
    const auto values = values_of(entry);
    for (size_t i = 0; i < kColumns.size(); ++i) item[kColumns[i].name] = values[i];
    list.push_back(std::move(item));
  }
  return {{"task", summary.task},
          {"steps", summary.steps},
          {"seeds", summary.seeds},
          {"noise_floor", summary.noise_floor ? Json(summary.noise_floor->sd) : Json()},
          {"baselines", std::move(list)}};
}

std::string table_for_people(const Summary& summary) {
  const auto difference = [](const std::optional<PairedDifference>& value) -> std::string {
    if (!value) return "";
    return value->standard_error
               ? fmt::format("{:+.4f} ±{:.4f}", value->mean, *value->standard_error)
               : fmt::format("{:+.4f}", value->mean);
  };
  size_t width = 4;
  for (const Entry& entry : summary.entries) width = std::max(width, entry.name.size());
  std::string text =
      fmt::format("  {:<{}}  {:>6}  {:>8}  {:>7}  {:<15}  {:<15}  {:>8}  {}\n", "name", width,
                  "bits", "val_loss", "sd", "to ternary", "to float", "tokens/s", "runs");
  for (const Entry& entry : summary.entries) {
    const auto cell = [](const ledger::Number& value, int decimals) {
      return value ? fmt::format("{:.{}f}", *value, decimals) : std::string("-");
    };
    const std::optional<Spread>& loss = entry.val_loss;
    text += fmt::format("{} {:<{}}  {:>6}  {:>8}  {:>7}  {:<15}  {:<15}  {:>8}  {}\n",
                        entry.pareto ? '*' : ' ', entry.name, width, cell(entry.bits_per_weight, 3),
                        loss ? fmt::format("{:.4f}", loss->mean) : "-",
                        loss ? cell(loss->sd, 4) : "-", difference(entry.to_ternary),
                        difference(entry.to_float), cell(entry.tokens_per_s, 0), entry.statuses());
  }
  text +=
      "* no other has a lower mean val_loss at no more bits. ± is one standard error, paired by "
      "seed.\n";
  if (summary.noise_floor)
    text += fmt::format("Noise floor: {:.4f} nats/token, the standard deviation over seeds.\n",
                        summary.noise_floor->sd);
  return text;
}

}  // namespace bitloop::baselines
