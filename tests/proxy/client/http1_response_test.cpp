#include "tests/proxy/client/http1_codec_support.h"
#include "tests/support/rows.h"

#include <string>

namespace nearhop::client {
namespace {

struct Response {
    const char* name;
    std::string request;
    unsigned status;
    Framing framing;
    bool bodyless;
    std::string body;
    std::string expected;  ///< behind the status line and the origin's field
    bool keeps;
};
using tests::PrintTo;
struct Responses : CodecTest, testing::WithParamInterface<Response> {};

TEST_P(Responses, AreFramedForTheirClient) {
    const auto& row = GetParam();
    ASSERT_EQ(read(row.request), Read::ready);
    const std::vector<wire::Field> fields{{"X-Of-Origin", "1", wire::Name::other},
                                          {"Content-Length", "777", wire::Name::content_length},
                                          {"Transfer-Encoding", "chunked", wire::Name::transfer_encoding},
                                          {"Connection", "close", wire::Name::connection}};
    codec.start({.status = row.status,
                 .reason = "Why",
                 .fields = fields,
                 .extra = "X-Ours: 2\r\n",
                 .framing = row.framing,
                 .bodyless = row.bodyless,
                 .close = false});
    EXPECT_EQ(codec.write(row.body), row.body.size());
    codec.finish("X-Trailer: t\r\n");
    const std::string start = "HTTP/1.1 " + std::to_string(row.status) + " Why\r\nX-Of-Origin: 1\r\nX-Ours: 2\r\n";
    EXPECT_EQ(received(), start + row.expected);
    EXPECT_EQ(codec.keeps_alive(), row.keeps);
}

const std::string head_request = "HEAD / HTTP/1.1\r\n" + host + "\r\n";
const std::string old = "GET / HTTP/1.0\r\n\r\n";
const std::string old_kept = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
using Kind = Framing::Kind;

INSTANTIATE_TEST_SUITE_P(
    All, Responses,
    testing::Values(
        Response{"Length", get("/"), 200, {Kind::length, 5}, false, "hello", "Content-Length: 5\r\n\r\nhello", true},
        Response{"LengthOfZero", get("/"), 200, {Kind::length, 0}, false, "", "Content-Length: 0\r\n\r\n", true},
        Response{"Chunked",
                 get("/"),
                 200,
                 {Kind::chunked, 0},
                 false,
                 "hello",
                 "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: t\r\n\r\n",
                 true},
        Response{"UntilCloseBecomesChunked",
                 get("/"),
                 200,
                 {Kind::until_close, 0},
                 false,
                 "hello",
                 "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: t\r\n\r\n",
                 true},
        Response{"OldHttpLength",
                 old,
                 200,
                 {Kind::length, 2},
                 false,
                 "ok",
                 "Content-Length: 2\r\nConnection: close\r\n\r\nok",
                 false},
        Response{"OldHttpKept",
                 old_kept,
                 200,
                 {Kind::length, 2},
                 false,
                 "ok",
                 "Content-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
                 true},
        Response{"OldHttpChunkedIsUntilClose",
                 old_kept,
                 200,
                 {Kind::chunked, 0},
                 false,
                 "ok",
                 "Connection: close\r\n\r\nok",
                 false},
        Response{"HeadAnnouncesWhatAGetWouldHave",
                 head_request,
                 200,
                 {Kind::none, 0},
                 true,
                 "",
                 "Content-Length: 777\r\n\r\n",
                 true},
        Response{"NoContentHasNoLength", get("/"), 204, {Kind::none, 0}, true, "", "\r\n", true},
        Response{
            "NotModifiedMayHaveALength", get("/"), 304, {Kind::none, 0}, true, "", "Content-Length: 777\r\n\r\n", true},
        Response{"AskedToClose",
                 get("/", host + "Connection: close\r\n"),
                 200,
                 {Kind::length, 0},
                 false,
                 "",
                 "Content-Length: 0\r\nConnection: close\r\n\r\n",
                 false}),
    [](const auto& row) { return row.param.name; });

TEST_F(CodecTest, AFinalAnswerBeforeContinueClosesSinceTheBodyMayOrMayNotCome) {  // RFC 9110 section 10.1.1
    ASSERT_EQ(read(post("Expect: 100-continue\r\nContent-Length: 5\r\n")), Read::ready);
    codec.start({.status = 403, .reason = "No", .fields = {}, .extra = {}, .framing = {Kind::length, 0}});
    EXPECT_NE(received().find("Connection: close\r\n"), std::string::npos);
    EXPECT_FALSE(codec.keeps_alive());
}

TEST_F(CodecTest, AfterContinueTheConnectionIsKept) {
    ASSERT_EQ(read(post("Expect: 100-continue\r\nContent-Length: 5\r\n")), Read::ready);
    EXPECT_TRUE(codec.waits_for_continue());
    codec.interim(100, {});
    EXPECT_EQ(received(), "HTTP/1.1 100 Continue\r\n\r\n");
    EXPECT_FALSE(codec.waits_for_continue());
    send("hello");
    EXPECT_EQ(take_body(), "hello");
    codec.start({.status = 200, .reason = "OK", .fields = {}, .extra = {}, .framing = {Kind::length, 0}});
    EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    EXPECT_TRUE(codec.keeps_alive());
}

TEST_F(CodecTest, InterimAnswersAreNotForOldHttp) {
    ASSERT_EQ(read(old), Read::ready);
    codec.interim(103, {});
    EXPECT_EQ(received(), "");
}

TEST_F(CodecTest, InterimFieldsAreForwardedWithoutFraming) {
    ASSERT_EQ(read(get("/")), Read::ready);
    const std::vector<wire::Field> fields{{"Link", "</s.css>", wire::Name::other},
                                          {"Content-Length", "3", wire::Name::content_length}};
    codec.interim(103, fields);
    EXPECT_EQ(received(), "HTTP/1.1 103 \r\nLink: </s.css>\r\n\r\n");
}

TEST_F(CodecTest, NothingButTheLastChunkEndsAChunkedBody) {
    ASSERT_EQ(read(get("/")), Read::ready);
    codec.start({.status = 200, .reason = "OK", .fields = {}, .extra = {}, .framing = {Kind::chunked, 0}});
    codec.write("");  // an empty chunk would be the end
    codec.write("a");
    codec.finish({});
    EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
}

TEST_F(CodecTest, PipelinedRequestsComeOutOneByOne) {
    ASSERT_EQ(read(get("/1") + get("/2") + get("/3")), Read::ready);
    for (const char* target : {"/1", "/2", "/3"}) {
        if (codec.request().target != target) {
            codec.begin_request(limits);
            ASSERT_EQ(codec.read_head(), Read::ready);
        }
        EXPECT_EQ(codec.request().target, target);
    }
    codec.begin_request(limits);
    EXPECT_EQ(codec.read_head(), Read::pending);
}

/// An answer can be replaced as long as nothing of it was handed to the stream.
TEST_F(CodecTest, TakesAnAnswerBackUntilItLeaves) {
    exchange::ResponseStart first, second;
    first.framing = {Kind::until_close, 0};
    second.status = 500;
    second.reason = "Oh";
    second.framing = {Kind::length, 2};
    ASSERT_EQ(read(old), Read::ready);
    codec.start(first);
    codec.write("half");
    EXPECT_TRUE(codec.take_back());
    codec.start(second);
    codec.write("no");
    codec.finish({});
    EXPECT_EQ(received(), "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    EXPECT_FALSE(codec.close_delimited()) << "that was of the first";
    EXPECT_FALSE(codec.take_back());
}

TEST_F(CodecTest, TakesAnInterimAnswerBackWithTheRest) {
    ASSERT_EQ(read(get("/")), Read::ready);
    codec.interim(103, {});
    EXPECT_TRUE(codec.take_back());
    EXPECT_EQ(received(), "");
    codec.interim(103, {});
    EXPECT_EQ(received(), "HTTP/1.1 103 \r\n\r\n");
    EXPECT_TRUE(codec.take_back()) << "an interim answer is none";
}

TEST_F(CodecTest, KnowsTheMethodHeadOfAHeadThatIsRefused) {
    for (const char* head : {"HEAD / HTTP/1.1\r\n", "HEAD / HTTP/1.1\r\n\r\n", "HEAD /\n"}) {
        SCOPED_TRACE(head);
        codec.begin_request(limits);
        stream.in().clear();
        EXPECT_EQ(codec.request().method, "") << "not of the request before";
        EXPECT_NE(read(head), Read::ready);
        EXPECT_EQ(codec.request().method, "HEAD");
    }
    codec.begin_request(limits);
    stream.in().clear();
    EXPECT_NE(read("HEADER / HTTP/1.1\r\n"), Read::ready);
    EXPECT_EQ(codec.request().method, "");
}

}  // namespace
}  // namespace nearhop::client
