#include "harness/parquet/lines.h"

#include <arrow/io/file.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <parquet/arrow/reader.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/properties.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <new>
#include <set>
#include <string>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/parquet/values.h"

namespace bitloop::parquet_lines {
namespace {

constexpr int64_t kBatchRows = 256;

std::unexpected<Error> bad(const std::string& what) { return fail("bad_parquet", what); }

// What Arrow says has several lines and names of its own files.
std::unexpected<Error> bad(const std::string& what, const std::string& said) {
  return bad(fmt::format("{}: {}", what, single_line(said)));
}

Result<std::shared_ptr<arrow::io::ReadableFile>> open_copy(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return std::unexpected(errno_error("the file", errno));
  if (!S_ISREG(info.st_mode)) return bad("it is no regular file");
  if (info.st_size > kMostBytes)
    return bad(fmt::format("it has {} MiB, more than the {} that are read", info.st_size >> 20,
                           kMostBytes >> 20));
  // Arrow closes what it opens.
  UniqueFd copy(::dup(fd));
  if (!copy.valid()) return std::unexpected(errno_error("the file", errno));
  auto file = arrow::io::ReadableFile::Open(copy.release());
  if (!file.ok()) return bad("it can't be read", file.status().message());
  return *file;
}

Status check_columns(const arrow::Schema& schema) {
  if (schema.num_fields() == 0) return bad("it has no columns");
  std::set<std::string> names;
  for (const auto& field : schema.fields()) {
    if (!is_valid_utf8(field->name())) return bad("a column's name is not UTF-8");
    if (!names.insert(field->name()).second)
      return bad(fmt::format("two columns are named '{}'", field->name()));
    BITLOOP_TRY(check_type(*field->type(), field->name()));
  }
  return {};
}

Result<std::unique_ptr<parquet::arrow::FileReader>> open_reader(
    std::shared_ptr<arrow::io::ReadableFile> file) {
  parquet::ReaderProperties properties;
  properties.set_page_checksum_verification(true);  // of pages that have one
  properties.enable_buffered_stream();              // not a whole column of a row group at once
  parquet::ArrowReaderProperties rows(/*use_threads=*/false);
  rows.set_batch_size(kBatchRows);
  rows.set_pre_buffer(false);  // would read ahead by other threads
  parquet::arrow::FileReaderBuilder builder;
  if (const arrow::Status opened = builder.Open(std::move(file), properties); !opened.ok())
    return bad("it is no whole Parquet file", opened.message());
  std::unique_ptr<parquet::arrow::FileReader> reader;
  if (const arrow::Status built = builder.properties(rows)->Build(&reader); !built.ok())
    return bad("its columns can't be read", built.message());
  return reader;
}

// The batch's rows as lines. `before`: rows of earlier batches.
Result<std::string> lines_of(const arrow::RecordBatch& batch, int64_t before) {
  // The numbers in it, not only its buffers: offsets and indices come from the file.
  if (const arrow::Status valid = batch.ValidateFull(); !valid.ok())
    return bad(fmt::format("rows from {} on are broken", before + 1), valid.message());
  std::string lines;
  for (int64_t row = 0; row < batch.num_rows(); ++row) {
    Json made = Json::object();
    for (int k = 0; k < batch.num_columns(); ++k) {
      const std::string& name = batch.column_name(k);
      auto value = value_at(*batch.column(k), row, name);
      if (!value) return bad(fmt::format("row {}, {}", before + row + 1, value.error().message));
      made[name] = std::move(*value);
    }
    lines += made.dump();
    lines += '\n';
  }
  return lines;
}

Status write_rows(int fd, const std::function<Status(std::string_view)>& write) {
  BITLOOP_ASSIGN(file, open_copy(fd));
  BITLOOP_ASSIGN(reader, open_reader(std::move(file)));
  std::shared_ptr<arrow::Schema> schema;
  if (const arrow::Status got = reader->GetSchema(&schema); !got.ok())
    return bad("its columns can't be read", got.message());
  BITLOOP_TRY(check_columns(*schema));
  auto batches = reader->GetRecordBatchReader();
  if (!batches.ok()) return bad("its rows can't be read", batches.status().message());
  int64_t rows = 0;
  while (true) {
    std::shared_ptr<arrow::RecordBatch> batch;
    if (const arrow::Status read = (*batches)->ReadNext(&batch); !read.ok())
      return bad(fmt::format("rows from {} on can't be read", rows + 1), read.message());
    if (batch == nullptr) break;
    BITLOOP_ASSIGN(lines, lines_of(*batch, rows));
    BITLOOP_TRY(write(lines));
    rows += batch->num_rows();
  }
  const int64_t said = reader->parquet_reader()->metadata()->num_rows();
  if (rows != said) return bad(fmt::format("it says that it has {} rows, but has {}", said, rows));
  return {};
}

}  // namespace

Status write_lines(int fd, const std::function<Status(std::string_view)>& write) {
  // Most of what Arrow finds wrong is a status, the rest an exception.
  try {
    return write_rows(fd, write);
  } catch (const std::bad_alloc&) {
    return bad("reading it takes more memory than there is");
  } catch (const std::exception& failed) {
    return bad("it can't be read", failed.what());
  }
}

}  // namespace bitloop::parquet_lines
