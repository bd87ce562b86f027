// SPDX-License-Identifier: MIT
// Loads a server of the article's protocol, and prints how it did as a JSON object:
//
//     load -C 64 -P 16 -t 2 127.0.0.1:8080 echo '{"a": 1}'
//
// A closed loop: each connection has so many requests under way at any time, and sends the next one
// when a reply comes. Replies have no id, so they come in the order of the requests.
//
// requests_per_second counts the replies that come within the seconds of the measurement; the times
// are those of all requests that are sent within them, however late their replies are. own_cpu is
// the share of a core that the load itself has used: near 1, it was the limit.
//
// Nothing of lib/ is used here, so that no mistake is shared with what is measured. It connects to
// nothing but this machine.
#include <fmt/format.h>
#include <getopt.h>
#include <sys/resource.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>

#include "load/address.hpp"
#include "load/closed_loop.hpp"

namespace {

using load::LoadOptions;
using load::UsageError;

constexpr const char* kUsage =
    "Usage: load [options] ADDR METHOD [PARAMS]\n"
    "\n"
    "ADDR is 127.0.0.1:port, [::1]:port, :port, /path, ./path or @name. PARAMS is JSON; - reads\n"
    "it from stdin.\n"
    "\n"
    "  -C, --connections N  default 1\n"
    "  -P, --in-flight N    requests under way on each, default 1\n"
    "  -t, --seconds S      measure for so long, default 2\n"
    "      --warm-up S      before that, default 0.2\n";

template <typename Number>
Number number(const char* option, std::string_view text, Number least, Number most) {
  Number value{};
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc{} || result.ptr != text.data() + text.size() ||
      !(value >= least && value <= most)) {
    throw UsageError(fmt::format("{} {}: not from {} to {}", option, text, least, most));
  }
  return value;
}

std::string read_stdin() {
  std::string text;
  std::array<char, 4096> buffer;
  while (const std::size_t size = fread(buffer.data(), 1, buffer.size(), stdin)) {
    text.append(buffer.data(), size);
  }
  return text;
}

std::string frame(std::string_view method, std::string_view params) {
  if (method.find_first_of("\"\\") != std::string_view::npos) {
    throw UsageError(fmt::format("{}: a method without quotes and backslashes, please", method));
  }
  const std::string body = fmt::format(R"({{"in":"{}","params":{}}})", method, params);
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8) {
    bytes.push_back(static_cast<char>(body.size() >> shift & 0xff));
  }
  return bytes + body;
}

LoadOptions parse(int argc, char** argv) {
  LoadOptions options;
  constexpr int kWarmUp = 256;
  const std::array<option, 6> table{{{"connections", required_argument, nullptr, 'C'},
                                     {"in-flight", required_argument, nullptr, 'P'},
                                     {"seconds", required_argument, nullptr, 't'},
                                     {"warm-up", required_argument, nullptr, kWarmUp},
                                     {"help", no_argument, nullptr, 'h'},
                                     {}}};
  for (int c; (c = getopt_long(argc, argv, "C:P:t:h", table.data(), nullptr)) != -1;) {
    switch (c) {
      case 'C': options.connections = number<std::size_t>("-C", optarg, 1, 60'000); break;
      case 'P': options.in_flight = number<std::size_t>("-P", optarg, 1, 65'536); break;
      case 't':
        options.seconds = decltype(options.seconds)(number("-t", optarg, 0.01, 600.0));
        break;
      case kWarmUp:
        options.warm_up = decltype(options.warm_up)(number("--warm-up", optarg, 0.0, 60.0));
        break;
      case 'h': fmt::print("{}", kUsage); std::exit(0);
      default: throw UsageError("see load --help");
    }
  }
  const int words = argc - optind;
  if (words < 2 || words > 3) throw UsageError("an address and a method, please; see load --help");
  options.address = argv[optind];
  std::string params = words == 3 ? argv[optind + 2] : "null";
  if (params == "-") params = read_stdin();
  options.request = frame(argv[optind + 1], params);
  return options;
}

void raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void print(const LoadOptions& options, const load::LoadResult& result) {
  fmt::print(
      R"({{"requests_per_second": {:.1f}, "p50_us": {:.1f}, "p99_us": {:.1f}, "p99.9_us": {:.1f}, )"
      R"("max_us": {:.1f}, "replies": {}, "errors": {}, "own_cpu": {:.2f}}})"
      "\n",
      static_cast<double>(result.replies) / options.seconds.count(), result.times.quantile(0.5),
      result.times.quantile(0.99), result.times.quantile(0.999), result.times.most(),
      result.replies, result.errors, result.own_cpu);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const LoadOptions options = parse(argc, argv);
    raise_descriptor_limit();
    load::ClosedLoop loop(options);
    const load::LoadResult& result = loop.run();
    print(options, result);
    if (result.errors == 0) return 0;
    fmt::print(stderr, "load: {} errors, first: {}\n", result.errors, result.first_error);
    return 1;
  } catch (const UsageError& error) {
    fmt::print(stderr, "load: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "load: {}\n", error.what());
    return 125;
  }
}
