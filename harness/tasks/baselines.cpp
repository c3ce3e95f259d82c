#include "harness/tasks/baselines.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::tasks {
namespace {

constexpr size_t kMaxTableBytes = size_t{4} << 20;
constexpr std::array<std::string_view, 5> kNeeded = {"name", "bits_per_weight", "val_loss",
                                                     "val_loss_sd", "seeds"};

class TableReader {
 public:
  explicit TableReader(std::string file) : file_(std::move(file)) {}

  Result<std::vector<Baseline>> read(std::string_view text) {
    std::vector<Baseline> rows;
    for (const std::string& line : split_lines(text)) {
      ++line_;
      if (line.empty() || line.starts_with('#')) continue;
      const std::vector<std::string> fields = split(line, '\t');
      if (columns_ == 0) {
        BITLOOP_TRY(take_header(fields));
        continue;
      }
      if (fields.size() != columns_)
        return bad(fmt::format("{} fields where the header has {}", fields.size(), columns_));
      Baseline row;
      row.name = fields[at_[0]];
      BITLOOP_TRY(number(fields, 1, row.bits_per_weight));
      BITLOOP_TRY(number(fields, 2, row.val_loss));
      BITLOOP_TRY(number(fields, 3, row.val_loss_sd));
      std::optional<double> seeds;
      BITLOOP_TRY(number(fields, 4, seeds));
      if (row.name.empty() || !seeds || *seeds < 0 || *seeds > 1e6 || *seeds != std::floor(*seeds))
        return bad("a row needs a name and its number of seeds");
      row.seeds = static_cast<size_t>(*seeds);
      rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  std::unexpected<Error> bad(std::string_view what) const {
    return fail("bad_baselines", fmt::format("{} line {}: {}", file_, line_, what));
  }

  Status take_header(const std::vector<std::string>& names) {
    for (size_t i = 0; i < kNeeded.size(); ++i) {
      const auto found = std::ranges::find(names, kNeeded[i]);
      if (found == names.end()) return bad(fmt::format("there is no column {}", kNeeded[i]));
      at_[i] = static_cast<size_t>(found - names.begin());
    }
    columns_ = names.size();
    return {};
  }

  Status number(const std::vector<std::string>& fields, size_t column,
                std::optional<double>& into) const {
    const std::string& text = fields[at_[column]];
    if (text.empty()) return {};
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
      return bad(fmt::format("{} is not a number: {}", kNeeded[column], single_line(text)));
    into = value;
    return {};
  }

  std::string file_;
  size_t line_ = 0;
  size_t columns_ = 0;                       // of the header; 0 before it
  std::array<size_t, kNeeded.size()> at_{};  // where the needed ones are
};

}  // namespace

const Baseline* BaselineTable::find(std::string_view name) const {
  const auto found = std::ranges::find(baselines, name, &Baseline::name);
  return found == baselines.end() ? nullptr : &*found;
}

Result<BaselineTable> load_baselines(const std::filesystem::path& share_dir,
                                     const std::string& task) {
  const std::filesystem::path file = share_dir / "baselines" / (task + ".tsv");
  const auto text = read_file(file, kMaxTableBytes);
  if (!text && text.error().code == "file_not_found") return {};
  if (!text) return std::unexpected(text.error());
  BaselineTable table;
  BITLOOP_ASSIGN(rows, TableReader(file.string()).read(*text));
  table.baselines = std::move(rows);
  double squares = 0;
  size_t freedom = 0;
  for (const Baseline& row : table.baselines) {
    if (!row.val_loss_sd || row.seeds < 2) continue;
    squares += *row.val_loss_sd * *row.val_loss_sd * static_cast<double>(row.seeds - 1);
    freedom += row.seeds - 1;
  }
  if (freedom > 0)
    table.noise_floor = NoiseFloor{std::sqrt(squares / static_cast<double>(freedom)), freedom};
  return table;
}

}  // namespace bitloop::tasks
