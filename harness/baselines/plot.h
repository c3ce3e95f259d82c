// The Pareto plot: val_loss against bits per weight, with error bars over seeds. We say what is
// drawn and where; gnuplot (Debian's gnuplot-nox) draws it.
#pragma once

#include <filesystem>
#include <string>

#include "harness/base/result.h"
#include "harness/baselines/summary.h"

namespace bitloop::baselines {

// The program for gnuplot, which writes an SVG file to its standard output. Float is a horizontal
// line: at 32 bits it would leave no room for the others. Losses far above all others stand at the
// upper edge with their number. Error: "nothing_to_plot" (no quantised entry has a score).
Result<std::string> plot_script(const Summary& summary);

// Runs gnuplot and replaces `path`. Errors: "gnuplot_missing" (what to install), "gnuplot_failed"
// (its last words), those of plot_script and of writing.
Status draw_plot(const Summary& summary, const std::filesystem::path& path);

}  // namespace bitloop::baselines
