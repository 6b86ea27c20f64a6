#include "tests/proxy/control/support.h"

#include "proxy/wire/stream.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <linux/filter.h>
#include <poll.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace nearhop::control {
namespace {

int bound(int type, std::uint16_t port = 0) {
    const int descriptor = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return descriptor;
    close(descriptor);
    return -1;
}

std::uint16_t port_of(int descriptor) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

std::string text_of(BIO* bio) {
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(bio, &bytes);
    std::string text{bytes, static_cast<std::size_t>(size)};
    BIO_free(bio);
    return text;
}

std::string two_bytes(std::size_t value) {
    return {static_cast<char>(value >> 8 & 0xff), static_cast<char>(value & 0xff)};
}

}  // namespace

Folder::Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "nearhop-test-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error{"no temporary directory"};
    path_ = name;
}

Folder::~Folder() { std::filesystem::remove_all(path_); }

std::string Folder::write(const std::string& name, std::string_view content) const {
    std::ofstream{file(name), std::ios::binary} << content;
    return file(name);
}

static evp_pkey_st* make_key(const std::string& kind) {
    if (kind == "RSA") return EVP_RSA_gen(2048);
    return kind.starts_with("ED") ? EVP_PKEY_Q_keygen(nullptr, nullptr, kind.c_str()) : EVP_EC_gen(kind.c_str());
}

Identity::Identity(const Options& options) : key{make_key(options.kind)}, certificate{X509_new()} {
    static long serial = 1000;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 86'400L * options.begins_days);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86'400L * options.ends_days);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    const std::string common = !options.common_name.empty()
                                   ? options.common_name
                                   : (options.authority ? "authority " : "holder ") + std::to_string(serial);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(common.c_str()), -1, -1,
                               0);
    X509_set_issuer_name(certificate, options.issuer ? X509_get_subject_name(options.issuer->certificate) : name);
    const auto extend = [&](int what, const std::string& value) {
        X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str());
        X509_add_ext(certificate, extension, -1);
        X509_EXTENSION_free(extension);
    };
    if (options.authority)
        extend(NID_basic_constraints, "critical,CA:TRUE");
    else if (!options.names.empty())
        extend(NID_subject_alt_name, options.names);
    evp_pkey_st* const signer = options.issuer ? options.issuer->key : key;
    X509_sign(certificate, signer, EVP_PKEY_is_a(signer, "ED25519") ? nullptr : EVP_sha256());
}

Identity::~Identity() {
    X509_free(certificate);
    EVP_PKEY_free(key);
}

std::string Identity::certificate_pem() const {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate);
    return text_of(bio);
}

std::string Identity::key_pem() const {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
    return text_of(bio);
}

Peer::Peer(int descriptor, ssl_ctx_st* tls) : descriptor_{descriptor}, context_{tls} {}

Peer::~Peer() { SSL_free(tls_); }

bool Peer::handshake() {
    if (!context_) return true;
    tls_ = SSL_new(context_);
    SSL_set_fd(tls_, descriptor_);
    return SSL_accept(tls_) == 1;
}

std::string Peer::read_some() {
    char bytes[4096];
    const auto got = tls_ ? SSL_read(tls_, bytes, sizeof bytes) : recv(descriptor_, bytes, sizeof bytes, 0);
    return got > 0 ? std::string{bytes, static_cast<std::size_t>(got)} : std::string{};
}

std::string Peer::read_head() {
    for (;;) {
        const auto end = unread_.find("\r\n\r\n");
        if (end != unread_.npos) {
            std::string head = unread_.substr(0, end + 4);
            unread_.erase(0, end + 4);
            return head;
        }
        const std::string more = read_some();
        if (more.empty()) return {};
        unread_ += more;
    }
}

std::size_t Peer::read_body(std::size_t bytes) {
    std::size_t came = std::exchange(unread_, {}).size();
    while (came < bytes) {
        const std::string more = read_some();
        if (more.empty()) break;
        came += more.size();
    }
    return came;
}

void Peer::send(std::string_view bytes) {
    if (tls_)
        SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size()));
    else
        (void)!::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

void Peer::wait_for_close() {
    while (!read_some().empty()) {
    }
}

void Peer::drop_packets() {
    sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    const sock_fprog program{1, nothing};
    if (setsockopt(descriptor_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
        throw std::runtime_error{"SO_ATTACH_FILTER"};
}

ScriptedOrigin::ScriptedOrigin(Script script, const Identity* identity)
    : script_{std::move(script)}, listener_{bound(SOCK_STREAM)}, port_{port_of(listener_)} {
    // OpenSSL writes to its socket as it likes, also when a probe has refused the certificate and gone.
    std::signal(SIGPIPE, SIG_IGN);
    if (identity) {
        tls_ = SSL_CTX_new(TLS_server_method());
        SSL_CTX_use_certificate(tls_, identity->certificate);
        SSL_CTX_use_PrivateKey(tls_, identity->key);
    }
    listen(listener_, 64);
    acceptor_ = std::thread{[this] {
        for (;;) {
            const int accepted = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (accepted < 0) return;
            const std::lock_guard lock{mutex_};
            open_.push_back(accepted);
            threads_.emplace_back([this, accepted, number = connections_++] {
                {
                    Peer peer{accepted, tls_};
                    peer.connection = number;
                    if (peer.handshake()) script_(peer);
                }
                shutdown(accepted, SHUT_RDWR);  // closed at the end: its number must not be used again before
            });
        }
    }};
}

ScriptedOrigin::~ScriptedOrigin() {
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (const int descriptor : open_) shutdown(descriptor, SHUT_RDWR);
    for (auto& thread : threads_) thread.join();
    for (const int descriptor : open_) close(descriptor);
    close(listener_);
    SSL_CTX_free(tls_);
}

ScriptedOrigin::Script ScriptedOrigin::answering(std::string answer) {
    return [answer = std::move(answer)](Peer& peer) {
        while (!peer.read_head().empty()) peer.send(answer);
    };
}

DnsServer::DnsServer() : stop_{eventfd(0, EFD_CLOEXEC)} {
    // UDP and TCP need the same number: try until both are free.
    while (tcp_ < 0) {
        if (udp_ >= 0) close(udp_);
        udp_ = bound(SOCK_DGRAM);
        port_ = port_of(udp_);
        tcp_ = bound(SOCK_STREAM, port_);
    }
    listen(tcp_, 8);
    thread_ = std::thread{[this] { serve(); }};
}

DnsServer::~DnsServer() {
    const std::uint64_t one = 1;
    (void)!write(stop_, &one, sizeof one);
    thread_.join();
    for (const int descriptor : {udp_, tcp_, stop_}) close(descriptor);
}

void DnsServer::set(const std::string& name, bool v6, Answer answer) {
    const std::lock_guard lock{mutex_};
    answers_[{name, v6}] = std::move(answer);
}

void DnsServer::serve() {
    for (;;) {
        pollfd watched[] = {{udp_, POLLIN, 0}, {tcp_, POLLIN, 0}, {stop_, POLLIN, 0}};
        poll(watched, 3, -1);
        if (watched[2].revents) return;
        char bytes[2048];
        if (watched[0].revents) {
            sockaddr_in from{};
            socklen_t size = sizeof from;
            const auto got = recvfrom(udp_, bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from), &size);
            if (got < 12) continue;
            const std::string reply = answer({bytes, static_cast<std::size_t>(got)}, false);
            if (!reply.empty()) sendto(udp_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
        }
        if (watched[1].revents) {
            const int accepted = accept4(tcp_, nullptr, nullptr, SOCK_CLOEXEC);
            std::string question;
            while (question.size() < 2 || question.size() < 2u + (static_cast<unsigned char>(question[0]) << 8 |
                                                                  static_cast<unsigned char>(question[1]))) {
                const auto got = recv(accepted, bytes, sizeof bytes, 0);
                if (got <= 0) break;
                question.append(bytes, static_cast<std::size_t>(got));
            }
            if (question.size() > 14) {
                const std::string reply = answer(std::string_view{question}.substr(2), true);
                const std::string framed = two_bytes(reply.size()) + reply;
                // In two pieces: a reader that stops after the length must be woken again.
                (void)!::send(accepted, framed.data(), 2, MSG_NOSIGNAL);
                (void)!::send(accepted, framed.data() + 2, framed.size() - 2, MSG_NOSIGNAL);
            }
            close(accepted);
        }
    }
}

std::string DnsServer::answer(std::string_view question, bool over_tcp) {
    ++questions_;
    std::string name;
    std::size_t at = 12;
    while (at < question.size() && question[at] != 0) {
        const auto length = static_cast<std::size_t>(question[at]);
        name += (name.empty() ? "" : ".") + std::string{question.substr(at + 1, length)};
        at += length + 1;
    }
    const bool v6 = question[at + 2] == 28;
    Answer known{.code = 3};
    {
        const std::lock_guard lock{mutex_};
        if (const auto found = answers_.find({name, v6}); found != answers_.end()) known = found->second;
    }
    if (known.silent) return {};

    const bool truncated = known.truncated_over_udp && !over_tcp;
    std::string records;
    std::size_t count = 0;
    if (!truncated) {
        for (const auto& text : known.addresses) {
            char raw[16];
            inet_pton(v6 ? AF_INET6 : AF_INET, text.c_str(), raw);
            records += two_bytes(0xc00c) + two_bytes(v6 ? 28 : 1) + two_bytes(1) + two_bytes(known.ttl >> 16) +
                       two_bytes(known.ttl & 0xffff) + two_bytes(v6 ? 16 : 4) + std::string{raw, v6 ? 16u : 4u};
            ++count;
        }
        if (known.raw_records) {
            records += *known.raw_records;
            ++count;
        }
    }
    std::string reply{question.substr(0, 2)};
    reply += static_cast<char>(truncated ? 0x87 : 0x85);
    reply += static_cast<char>(0x80 | known.code);
    reply += two_bytes(1) + two_bytes(count) + two_bytes(0) + two_bytes(0);
    reply += question.substr(12, at + 5 - 12);
    return reply + records;
}

std::uint16_t closed_port() {
    const int descriptor = bound(SOCK_STREAM);
    const std::uint16_t port = port_of(descriptor);
    close(descriptor);
    return port;
}

namespace {

loop::Task<> run_and_stop(loop::Loop& loop, loop::Task<> body, bool& ended) {
    co_await std::move(body);
    ended = true;
    loop.stop();
}

struct StopAtTheLatest final : loop::Notify {
    explicit StopAtTheLatest(loop::Loop& which) : loop{which} { timer.expires_after(loop::milliseconds{20'000}); }
    void notify() noexcept override {
        if (timer.expired()) loop.stop();
    }
    loop::Loop& loop;
    loop::Timer timer{loop, *this};
};

}  // namespace

bool drive(loop::Loop& loop, loop::Task<> body) {
    wire::initialise_tls();
    bool ended = false;
    StopAtTheLatest limit{loop};
    const auto task = run_and_stop(loop, std::move(body), ended);
    task.start();
    loop.run();
    return ended;
}

loop::Task<bool> until(loop::Loop& loop, std::function<bool()> done) {
    loop::Wake wake{loop};
    loop::Timer timer{loop, wake};
    for (int i = 0; i < 2500; ++i) {
        if (done()) co_return true;
        timer.expires_after(loop::milliseconds{4});
        co_await wake.wait();
    }
    co_return false;
}

}  // namespace nearhop::control
