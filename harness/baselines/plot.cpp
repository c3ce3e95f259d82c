#include "harness/baselines/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "harness/base/text.h"
#include "harness/baselines/labels.h"

namespace bitloop::baselines {
namespace {

// Pixels.
constexpr double kWidth = 1160, kHeight = 780;
constexpr Box kFrame = {96, 64, 1136, 728};  // of the axes, y upwards
constexpr double kFontSize = 12, kCharWidth = 7.6, kLineHeight = 14;
constexpr double kMarker = 5;

struct Point {
  const Entry* entry;
  double bits, loss, sd;
  bool above = false;  // the frame
};

// Only what no terminal and no browser could take for more than a name.
std::string harmless(const std::string& name) {
  std::string text = name.substr(0, 40);
  for (char& c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && c != '_' && c != '-' && c != '.') c = '?';
  }
  return text;
}

class Script {
 public:
  explicit Script(const Summary& summary) : summary_(summary) {}

  Result<std::string> render() {
    collect();
    if (points_.empty())
      return fail("nothing_to_plot", "There is nothing to plot: no quantizer has a score yet.");
    choose_ranges();
    place_names();
    return head() + front() + data() + names_ + plot();
  }

 private:
  void collect() {
    for (const Entry& entry : summary_.entries) {
      if (!entry.val_loss || !entry.bits_per_weight) continue;
      const Point point{&entry, *entry.bits_per_weight, entry.val_loss->mean,
                        entry.val_loss->sd.value_or(0)};
      (entry.quantised() ? points_ : floats_).push_back(point);
    }
  }

  void choose_ranges() {
    std::vector<double> losses;
    for (const Point& point : points_) losses.push_back(point.loss);
    std::ranges::sort(losses);
    const double low =
        floats_.empty() ? losses.front() : std::min(losses.front(), floats_.front().loss);
    // Whoever is far above most would press all others together.
    const double usual = losses[(losses.size() - 1) * 3 / 4];
    const double limit = usual + 3 * (usual - low);
    for (Point& point : points_) point.above = point.loss > limit && point.loss > usual;
    y_min_ = low;
    y_max_ = usual;
    x_max_ = 0;
    for (const Point& point : points_) {
      x_max_ = std::max(x_max_, point.bits);
      if (!point.above) y_max_ = std::max(y_max_, point.loss + point.sd);
      y_min_ = std::min(y_min_, point.loss - point.sd);
    }
    const double margin = std::max(1e-3, 0.06 * (y_max_ - y_min_));
    y_min_ -= margin;
    y_max_ += margin;
    x_max_ = std::max(x_max_ + 0.6, 2.0);
  }

  double x_pixel(double bits) const {
    return kFrame.left + (bits - kXMin) / (x_max_ - kXMin) * (kFrame.right - kFrame.left);
  }
  double y_pixel(double loss) const {
    return kFrame.bottom + (loss - y_min_) / (y_max_ - y_min_) * (kFrame.top - kFrame.bottom);
  }
  double shown(const Point& point) const { return point.above ? y_max_ : point.loss; }

  void place_names() {
    std::vector<Box> obstacles;
    std::vector<LabelRequest> requests;
    std::vector<std::string> texts;
    for (const Point& point : points_) {
      const double x = x_pixel(point.bits);
      const double reach = (y_pixel(point.loss + point.sd) - y_pixel(point.loss - point.sd)) / 2;
      const double y = y_pixel(shown(point));
      const double half = std::max(kMarker, point.above ? 0 : reach);
      obstacles.push_back({x - kMarker, y - half, x + kMarker, y + half});
      texts.push_back(harmless(point.entry->name) +
                      (point.above ? fmt::format(" {:.3f}", point.loss) : ""));
      requests.push_back(
          {x, y, kCharWidth * static_cast<double>(texts.back().size()), kLineHeight});
    }
    if (!floats_.empty()) {  // the line and the words on it
      const double y = y_pixel(floats_.front().loss);
      obstacles.push_back({kFrame.left, y - 1, kFrame.right, y + 1});
      obstacles.push_back({kFrame.left, y, kFrame.left + 260, y + 20});
    }
    add_front(obstacles);
    Box bounds = kFrame;
    bounds.top += kLineHeight;
    const auto placed = place_labels(requests, obstacles, bounds);
    for (size_t i = 0; i < placed.size(); ++i) {
      const PlacedLabel& label = placed[i];
      // Aligned at the side of the point: the width of text is a guess.
      const bool to_the_left = label.box.right < requests[i].x;
      if (label.has_line)
        names_ += fmt::format(
            "set arrow from screen {:.4f}, screen {:.4f} to screen {:.4f}, screen {:.4f} nohead "
            "lc rgb '#b0b0b0' lw 0.7 back\n",
            requests[i].x / kWidth, requests[i].y / kHeight, label.line_x / kWidth,
            label.line_y / kHeight);
      names_ += fmt::format("set label '{}' at screen {:.4f}, screen {:.4f} {} tc rgb '{}' front\n",
                            texts[i], (to_the_left ? label.box.right : label.box.left) / kWidth,
                            (label.box.bottom + label.box.top) / 2 / kHeight,
                            to_the_left ? "right" : "left",
                            points_[i].entry->pareto ? "#0b3d91" : "#404040");
    }
  }

  // The stairs of the front: each step goes right from its point, then down to the next.
  void add_front(std::vector<Box>& obstacles) const {
    const std::vector<const Point*> steps = front_points();
    for (size_t i = 0; i < steps.size(); ++i) {
      const bool last = i + 1 == steps.size();
      const double x0 = x_pixel(steps[i]->bits);
      const double x1 = last ? kFrame.right : x_pixel(steps[i + 1]->bits);
      const double y0 = y_pixel(steps[i]->loss);
      const double y1 = last ? y0 : y_pixel(steps[i + 1]->loss);
      obstacles.push_back({x0, y0 - 1, x1, y0 + 1});
      obstacles.push_back({x1 - 1, std::min(y0, y1), x1 + 1, std::max(y0, y1)});
    }
  }

  // Entries are in the order of bits, and so is the front.
  std::vector<const Point*> front_points() const {
    std::vector<const Point*> list;
    for (const Point& point : points_)
      if (point.entry->pareto && !point.above) list.push_back(&point);
    return list;
  }

  // Without a quote, whatever it was made of.
  std::string title() const {
    if (summary_.title.empty())
      return fmt::format("bitloop, task {}: {} steps, mean and standard deviation over {} seed(s)",
                         harmless(summary_.task), summary_.steps, summary_.seeds.size());
    std::string text = single_line(summary_.title);
    std::ranges::replace(text, '\'', '?');
    return text;
  }

  std::string head() const {
    return fmt::format(
        "set encoding utf8\n"
        "set terminal svg size {},{} noenhanced font 'Helvetica,{}' background rgb 'white'\n"
        "set lmargin at screen {:.4f}\nset rmargin at screen {:.4f}\n"
        "set bmargin at screen {:.4f}\nset tmargin at screen {:.4f}\n"
        "set title '{}'\n"
        "set xlabel 'bits per weight'\nset ylabel 'val_loss (nats/token)'\n"
        "set xrange [{}:{}]\nset yrange [{}:{}]\n"
        "set grid lc rgb '#e4e4e4'\nset tics nomirror\nset border 3\nunset key\n"
        "set label 'blue: no other has a lower val_loss at no more bits' at graph 0.99, graph 0.98 "
        "right tc rgb '#0b3d91'\n",
        kWidth, kHeight, kFontSize, kFrame.left / kWidth, kFrame.right / kWidth,
        kFrame.bottom / kHeight, kFrame.top / kHeight, title(), kXMin, format_number(x_max_),
        format_number(y_min_), format_number(y_max_));
  }

  // The lowest loss that so many bits buy.
  std::string front() const {
    std::string text = "$front << END\n";
    const std::vector<const Point*> steps = front_points();
    for (const Point* point : steps)
      text += fmt::format("{} {}\n", format_number(point->bits), format_number(point->loss));
    if (!steps.empty())
      text += fmt::format("{} {}\n", format_number(x_max_), format_number(steps.back()->loss));
    else
      text += fmt::format("{} NaN\n", kXMin);
    return text + "END\n";
  }

  std::string block(const char* name, bool pareto, bool above) const {
    std::string text = fmt::format("${} << END\n", name);
    bool any = false;
    for (const Point& point : points_) {
      if (point.entry->pareto != pareto && !above) continue;
      if (point.above != above) continue;
      text += fmt::format("{} {} {}\n", format_number(point.bits), format_number(shown(point)),
                          format_number(point.sd));
      any = true;
    }
    return text + (any ? "END\n" : "0 NaN 0\nEND\n");
  }

  std::string data() const {
    std::string text =
        block("best", true, false) + block("others", false, false) + block("above", false, true);
    if (floats_.empty()) return text;
    const Point& floating = floats_.front();
    const std::string loss = format_number(floating.loss);
    if (floating.sd > 0)
      text += fmt::format(
          "set object rectangle from graph 0, first {} to graph 1, first {} fs solid 0.12 "
          "noborder fc rgb '#2e7d32' behind\n",
          format_number(floating.loss - floating.sd), format_number(floating.loss + floating.sd));
    text += fmt::format(
        "set arrow from graph 0, first {} to graph 1, first {} nohead dt 2 lc rgb '#2e7d32'\n"
        "set label '{}, 32 bits: {:.4f}' at graph 0.01, first {} left offset 0, 0.6 tc rgb "
        "'#2e7d32'\n",
        loss, loss, harmless(floating.entry->name), floating.loss, loss);
    return text;
  }

  static std::string plot() {
    return "plot $front using 1:2 with steps lc rgb '#90b4e8' lw 2, "
           "$others using 1:2:3 with yerrorbars pt 7 ps 0.6 lc rgb '#808080', "
           "$best using 1:2:3 with yerrorbars pt 7 ps 0.8 lc rgb '#0b3d91', "
           "$above using 1:2 with points pt 9 ps 1.1 lc rgb '#b71c1c'\n";
  }

  static constexpr double kXMin = 0.8;
  const Summary& summary_;
  std::vector<Point> points_;  // in the order of bits
  std::vector<Point> floats_;
  double x_max_ = 0, y_min_ = 0, y_max_ = 0;
  std::string names_;
};

}  // namespace

Result<std::string> plot_script(const Summary& summary) { return Script(summary).render(); }

}  // namespace bitloop::baselines
