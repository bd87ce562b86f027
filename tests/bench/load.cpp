// SPDX-License-Identifier: MIT
// Loads a server of the article's protocol, and prints how it did as a JSON object:
//
//     load -C 64 -P 16 -t 2 127.0.0.1:8080 echo '{"a": 1}'
//     load -C 64 --size 64 --rate 20000 --servers 4711,4712 127.0.0.1:8080 ping
//     load -C 64 --reconnect 127.0.0.1:8080 ping
//     load -C 64 --http 127.0.0.1:8081
//
// A closed loop: each connection has so many requests under way at any time, and sends the next one
// when a reply comes. With --rate an open one: requests are due at random times (a Poisson process,
// the same for each run), and are timed from when they were due. Replies have no id, so they come
// in the order of the requests.
//
// requests_per_second counts the replies that come within the seconds of the measurement; the times
// are those of all requests that are sent within them, however late their replies are. own_cpu is
// the share of a core that the load itself has used: near 1, it was the limit; but in an open loop
// it waits awake. server_cpu is the same of the processes that --servers names, and
// requests_per_cpu_second is what they did with it.
//
// Nothing of lib/ is used here, so that no mistake is shared with what is measured. It connects to
// nothing but this machine.
#include <fmt/format.h>
#include <getopt.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "load/address.hpp"
#include "load/loop.hpp"
#include "load/options.hpp"

namespace {

using load::LoadOptions;
using load::UsageError;

constexpr const char* kUsage =
    "Usage: load [options] ADDR METHOD [PARAMS]\n"
    "       load [options] --http ADDR\n"
    "\n"
    "ADDR is 127.0.0.1:port, [::1]:port, :port, /path, ./path or @name. PARAMS is JSON; - reads\n"
    "it from stdin.\n"
    "\n"
    "  -C, --connections N  default 1\n"
    "  -P, --in-flight N    requests under way on each, default 1\n"
    "  -s, --size BYTES     PARAMS is a string of so many characters\n"
    "  -r, --rate R         an open loop: so many requests a second\n"
    "      --seed N         of its random times, default 1\n"
    "      --reconnect      a connection for each request, so many at a time\n"
    "      --http           GET / instead of frames\n"
    "      --servers PID,.. measure their CPU time\n"
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

std::vector<pid_t> processes(std::string_view text) {
  std::vector<pid_t> pids;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    pids.push_back(number<pid_t>("--servers", text.substr(0, comma), 1, 1 << 30));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return pids;
}

/// What the command line says of the request.
struct RequestOptions {
  bool http = false;
  std::size_t size = 0;

  std::string request(int count, char** words) const {
    if (http) {
      if (count != 1) { throw UsageError("--http: an address, please; see load --help"); }
      return "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    }
    if (count < 2 || count > (size > 0 ? 2 : 3)) {
      throw UsageError("an address and a method, please; see load --help");
    }
    std::string params = count == 3 ? words[2] : "null";
    if (size > 0) { params = '"' + std::string(size, 'x') + '"'; }
    if (params == "-") { params = read_stdin(); }
    return frame(words[1], params);
  }
};

LoadOptions parse(int argc, char** argv) {
  LoadOptions options;
  RequestOptions request;
  using Seconds = decltype(options.seconds);
  enum { kWarmUp = 256, kSeed, kReconnect, kHttp, kServers };
  const std::array<option, 12> table{{{"connections", required_argument, nullptr, 'C'},
                                      {"in-flight", required_argument, nullptr, 'P'},
                                      {"size", required_argument, nullptr, 's'},
                                      {"rate", required_argument, nullptr, 'r'},
                                      {"seed", required_argument, nullptr, kSeed},
                                      {"reconnect", no_argument, nullptr, kReconnect},
                                      {"http", no_argument, nullptr, kHttp},
                                      {"servers", required_argument, nullptr, kServers},
                                      {"seconds", required_argument, nullptr, 't'},
                                      {"warm-up", required_argument, nullptr, kWarmUp},
                                      {"help", no_argument, nullptr, 'h'},
                                      {}}};
  for (int c; (c = getopt_long(argc, argv, "C:P:s:r:t:h", table.data(), nullptr)) != -1;) {
    switch (c) {
      case 'C': options.connections = number<std::size_t>("-C", optarg, 1, 60'000); break;
      case 'P': options.in_flight = number<std::size_t>("-P", optarg, 1, 65'536); break;
      case 's': request.size = number<std::size_t>("--size", optarg, 1, 1 << 20); break;
      case 'r': options.rate = number("--rate", optarg, 0.01, 1e7); break;
      case 't': options.seconds = Seconds(number("-t", optarg, 0.01, 600.0)); break;
      case kWarmUp: options.warm_up = Seconds(number("--warm-up", optarg, 0.0, 60.0)); break;
      case kSeed: options.seed = number<std::uint64_t>("--seed", optarg, 0, 1'000'000'000); break;
      case kReconnect: options.reconnects = true; break;
      case kHttp: request.http = true; break;
      case kServers: options.servers = processes(optarg); break;
      case 'h': fmt::print("{}", kUsage); std::exit(0);
      default: throw UsageError("see load --help");
    }
  }
  if (options.in_flight > 1 && (options.reconnects || options.rate > 0)) {
    throw UsageError("--in-flight: of a closed loop that keeps its connections");
  }
  options.request = request.request(argc - optind, argv + optind);
  options.address = argv[optind];
  return options;
}

void raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void print(const LoadOptions& options, const load::LoadResult& result) {
  const double seconds = options.seconds.count();
  const auto replies = static_cast<double>(result.replies);
  fmt::print(
      R"({{"requests_per_second": {:.1f}, "p50_us": {:.1f}, "p99_us": {:.1f}, "p99.9_us": {:.1f}, )"
      R"("max_us": {:.1f}, "replies": {}, "errors": {}, "own_cpu": {:.2f}, "server_cpu": {:.3f}, )"
      R"("requests_per_cpu_second": {:.1f}}})"
      "\n",
      replies / seconds, result.times.quantile(0.5), result.times.quantile(0.99),
      result.times.quantile(0.999), result.times.most(), result.replies, result.errors,
      result.own_cpu / seconds, result.server_cpu / seconds,
      result.server_cpu > 0 ? replies / result.server_cpu : 0);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const LoadOptions options = parse(argc, argv);
    raise_descriptor_limit();
    // What is waited for is not put off to be waited for together with something else.
    prctl(PR_SET_TIMERSLACK, 1);
    load::Loop loop(options);
    const load::LoadResult& result = loop.run();
    print(options, result);
    if (result.errors == 0) { return 0; }
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
