#include "harness/parquet/lines.h"

#include <arrow/array/builder_binary.h>
#include <arrow/io/memory.h>
#include <arrow/json/from_string.h>
#include <arrow/table.h>
#include <arrow/type.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <parquet/arrow/writer.h>
#include <parquet/properties.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::parquet_lines {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Column {
  std::string name;
  std::shared_ptr<arrow::DataType> type;
  std::string values;  // JSON list
};

struct Form {
  bool checksums = false;
  int64_t rows_a_group = 1000;
  arrow::Compression::type compression = arrow::Compression::SNAPPY;
};

std::string parquet_of(const std::shared_ptr<arrow::Table>& table, const Form& form = {}) {
  const auto sink = arrow::io::BufferOutputStream::Create().ValueOrDie();
  parquet::WriterProperties::Builder properties;
  properties.compression(form.compression);
  if (form.checksums) properties.enable_page_checksum();
  const auto arrow_properties = parquet::ArrowWriterProperties::Builder().store_schema()->build();
  const arrow::Status written =
      parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), sink, form.rows_a_group,
                                 properties.build(), arrow_properties);
  EXPECT_TRUE(written.ok()) << written.ToString();
  return sink->Finish().ValueOrDie()->ToString();
}

std::string parquet_of(const std::vector<Column>& columns, const Form& form = {}) {
  arrow::FieldVector fields;
  arrow::ArrayVector arrays;
  for (const Column& column : columns) {
    fields.push_back(arrow::field(column.name, column.type));
    arrays.push_back(arrow::json::ArrayFromJSONString(column.type, column.values).ValueOrDie());
  }
  return parquet_of(arrow::Table::Make(arrow::schema(fields), arrays), form);
}

UniqueFd file_with(std::string_view content) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_TRUE(write_all(fd.get(), content));
  return fd;
}

// The lines, or "error: what is wrong".
std::vector<std::string> read(std::string_view content) {
  const UniqueFd file = file_with(content);
  std::string text;
  const Status done = write_lines(file.get(), [&](std::string_view lines) -> Status {
    text += lines;
    return {};
  });
  if (!done) {
    EXPECT_EQ(done.error().code, "bad_parquet");
    EXPECT_EQ(done.error().message, single_line(done.error().message));
    return {"error: " + done.error().message};
  }
  return split_lines(text);
}

std::vector<std::string> read(const std::vector<Column>& columns) {
  return read(parquet_of(columns));
}

TEST(ParquetLines, ARowIsAnObjectWithTheColumnsInTheirOrder) {
  EXPECT_THAT(
      read({{"id", arrow::utf8(), R"(["a", "b"])"},
            {"choices",
             arrow::struct_({arrow::field("text", arrow::list(arrow::utf8())),
                             arrow::field("label", arrow::list(arrow::large_utf8()))}),
             R"([{"text": ["ü\n", ""], "label": ["A", null]}, {"text": [], "label": null}])"},
            {"answer", arrow::int64(), "[3, null]"}}),
      ElementsAre(R"({"id":"a","choices":{"text":["ü\n",""],"label":["A",null]},"answer":3})",
                  R"({"id":"b","choices":{"text":[],"label":null},"answer":null})"));
}

TEST(ParquetLines, NumbersKeepTheirValues) {
  EXPECT_THAT(read({{"i8", arrow::int8(), "[-128]"},
                    {"i16", arrow::int16(), "[-32768]"},
                    {"i32", arrow::int32(), "[-2147483648]"},
                    {"i64", arrow::int64(), "[-9223372036854775808]"},
                    {"u8", arrow::uint8(), "[255]"},
                    {"u16", arrow::uint16(), "[65535]"},
                    {"u32", arrow::uint32(), "[4294967295]"},
                    {"u64", arrow::uint64(), "[18446744073709551615]"},
                    {"f", arrow::float32(), "[0.25]"},
                    {"d", arrow::float64(), "[0.1]"},
                    {"b", arrow::boolean(), "[true]"},
                    {"n", arrow::null(), "[null]"}}),
              ElementsAre(R"({"i8":-128,"i16":-32768,"i32":-2147483648,)"
                          R"("i64":-9223372036854775808,"u8":255,"u16":65535,"u32":4294967295,)"
                          R"("u64":18446744073709551615,"f":0.25,"d":0.1,"b":true,"n":null})"));
}

TEST(ParquetLines, ListsOfListsAndOfFixedLengthAndDictionaries) {
  const auto words = arrow::dictionary(arrow::int32(), arrow::utf8());
  EXPECT_THAT(
      read({{"deep", arrow::list(arrow::large_list(arrow::int32())), "[[[1, 2], []], [[3], null]]"},
            {"pair", arrow::fixed_size_list(arrow::int32(), 2), "[[1, 2], [3, 4]]"},
            {"word", words, R"(["x", "y"])"},
            {"bytes", arrow::binary(), R"(["text", "ß"])"}}),
      ElementsAre(R"({"deep":[[1,2],[]],"pair":[1,2],"word":"x","bytes":"text"})",
                  R"({"deep":[[3],null],"pair":[3,4],"word":"y","bytes":"ß"})"));
}

TEST(ParquetLines, ManyRowsInManyGroupsComeInTheirOrder) {
  std::string numbers = "[";
  for (int i = 0; i < 2000; ++i) numbers += fmt::format("{}{}", i ? "," : "", i);
  const auto lines =
      read(parquet_of({{"i", arrow::int32(), numbers + "]"}}, {.rows_a_group = 300}));
  ASSERT_EQ(lines.size(), 2000u);
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(lines[i], fmt::format("{{\"i\":{}}}", i));
}

TEST(ParquetLines, EveryCompressionOfPublishedFilesIsRead) {
  for (const auto form :
       {arrow::Compression::UNCOMPRESSED, arrow::Compression::SNAPPY, arrow::Compression::GZIP,
        arrow::Compression::ZSTD, arrow::Compression::BROTLI, arrow::Compression::LZ4})
    EXPECT_THAT(read(parquet_of({{"a", arrow::utf8(), R"(["x"])"}}, {.compression = form})),
                ElementsAre(R"({"a":"x"})"));
}

TEST(ParquetLines, WhatJsonHasNoWordForIsNamed) {
  EXPECT_THAT(read({{"at", arrow::timestamp(arrow::TimeUnit::MILLI), "[0]"}}),
              ElementsAre("error: column 'at': its type is timestamp[ms], which is not read"));
  EXPECT_THAT(read({{"s", arrow::struct_({arrow::field("d", arrow::date32())}), R"([{"d": 1}])"}}),
              ElementsAre("error: column 's.d': its type is date32[day], which is not read"));
  EXPECT_THAT(read({{"l", arrow::list(arrow::decimal128(4, 1)), R"([["1.5"]])"}}),
              ElementsAre(HasSubstr("column 'l': its type is decimal128(4, 1), which is not")));
  EXPECT_THAT(read({{"m", arrow::map(arrow::utf8(), arrow::int32()), R"([[["a", 1]]])"}}),
              ElementsAre(HasSubstr("column 'm': its type is map<string, int32")));
  EXPECT_THAT(read({{"h", arrow::fixed_size_binary(2), R"(["ab"])"}}),
              ElementsAre(HasSubstr("column 'h': its type is fixed_size_binary[2]")));
}

TEST(ParquetLines, ValuesThatJsonHasNoWordForAreNamedWithTheirRow) {
  EXPECT_THAT(read({{"f", arrow::float64(), "[1, NaN]"}}),
              ElementsAre("error: row 2, column 'f': a number is not finite"));
  EXPECT_THAT(read({{"f", arrow::list(arrow::float32()), "[[1, -Inf]]"}}),
              ElementsAre("error: row 1, column 'f': a number is not finite"));
  arrow::BinaryBuilder builder;
  ASSERT_TRUE(builder.Append("\xff\xfe").ok());
  const auto bytes = builder.Finish().ValueOrDie();
  EXPECT_THAT(read(parquet_of(arrow::Table::Make(
                  arrow::schema({arrow::field("raw", arrow::binary())}), {bytes}))),
              ElementsAre("error: row 1, column 'raw': a text is not UTF-8"));
}

TEST(ParquetLines, ColumnsOfOneNameAndNoColumns) {
  EXPECT_THAT(read({{"a", arrow::int32(), "[1]"}, {"a", arrow::int32(), "[2]"}}),
              ElementsAre("error: two columns are named 'a'"));
  EXPECT_THAT(read(std::vector<Column>{}), ElementsAre("error: it has no columns"));
}

TEST(ParquetLines, NoRowsAreNoLines) {
  EXPECT_THAT(read({{"a", arrow::utf8(), "[]"}}), ElementsAre());
}

TEST(ParquetLines, WhatIsNoParquetIsSaid) {
  for (const std::string& content :
       {std::string(), std::string(5000, '\0'), std::string("PAR1"), std::string("PAR1PAR1"),
        std::string("{\"a\": 1}\n"), "PAR1" + std::string(4, '\xff') + "PAR1"})
    EXPECT_THAT(read(content), ElementsAre(HasSubstr("it is no whole Parquet file: ")));
  Pipe pipe = make_pipe().value();
  const auto none = [](std::string_view) -> Status { return {}; };
  EXPECT_EQ(write_lines(pipe.read.get(), none).error().message, "it is no regular file");
  UniqueFd large(::memfd_create("test", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(large.get(), kMostBytes + 1), 0);
  EXPECT_EQ(write_lines(large.get(), none).error().message,
            "it has 256 MiB, more than the 256 that are read");
}

TEST(ParquetLines, TheReadersErrorEndsIt) {
  const UniqueFd file = file_with(parquet_of({{"a", arrow::utf8(), R"(["x"])"}}));
  const Status done =
      write_lines(file.get(), [](std::string_view) -> Status { return fail("full", "no more"); });
  EXPECT_EQ(done.error().code, "full");
}

TEST(ParquetLines, EveryCutIsSaid) {
  const std::string whole = parquet_of({{"a", arrow::utf8(), R"(["one", "two"])"},
                                        {"b", arrow::list(arrow::int32()), "[[1], [2, 3]]"}});
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_THAT(read(whole.substr(0, size)), ElementsAre(HasSubstr("error: it is no whole")))
        << size;
}

TEST(ParquetLines, AFlippedBitOfAPageWithAChecksumIsSaid) {
  const std::string text = "a text that stands in the page as it is";
  const std::string whole =
      parquet_of({{"a", arrow::utf8(), fmt::format(R"(["{}"])", text)}},
                 {.checksums = true, .compression = arrow::Compression::UNCOMPRESSED});
  const size_t at = whole.find(text);
  ASSERT_NE(at, std::string::npos);
  for (size_t i = at; i < at + text.size(); ++i) {
    std::string broken = whole;
    broken[i] ^= 1;
    EXPECT_THAT(read(broken), ElementsAre(HasSubstr("CRC checksum")));
  }
}

// Without a checksum a changed text is another text; but whatever the bits say, there are whole
// lines or one sentence.
TEST(ParquetLines, AFlippedBitAnywhereGivesLinesOrASentence) {
  const std::string whole =
      parquet_of({{"a", arrow::utf8(), R"(["one", "two", null])"},
                  {"b", arrow::list(arrow::int32()), "[[1], [2, 3], []]"},
                  {"c", arrow::dictionary(arrow::int8(), arrow::utf8()), R"(["x", "y", "x"])"}});
  int refused = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string broken = whole;
      broken[i] = static_cast<char>(broken[i] ^ (1 << bit));
      const auto lines = read(broken);
      refused += lines.size() == 1 && lines[0].starts_with("error: ");
      for (const std::string& line : lines) {
        if (line.starts_with("error: ")) continue;
        EXPECT_TRUE(nlohmann::json::accept(line)) << i << ": " << line;
      }
    }
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace bitloop::parquet_lines
