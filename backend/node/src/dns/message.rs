//! DNS messages: questions as the cluster's names understand them, and replies as clients do (RFC 1035, RFC 2308, RFC 6891).
pub(super) use hickory_proto::op::Message;
use hickory_proto::op::{Edns, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};
use logic::dns::{self, Answer, DOMAIN, Data, Kind, TTL_SECONDS};
use std::str::FromStr;

/// What fits a datagram whatever the client says (RFC 1035), and what we let it be at most: not to be cut into pieces on the way
/// (<https://www.dnsflagday.net/2020/>).
const DATAGRAM_BYTES: u16 = 512;
const DATAGRAM_BYTES_MAX: u16 = 1232;

/// One question, as it came.
pub(super) struct Question {
    asked: Message,
    query: Query,
    /// Lower case, without the dot at its end.
    pub(super) name: String,
    pub(super) kind: Kind,
}

impl Question {
    /// `None`: it is no question, and gets no reply.
    pub(super) fn read(bytes: &[u8]) -> Option<Question> {
        let asked = Message::from_vec(bytes).ok()?;
        if asked.metadata.message_type != MessageType::Query {
            return None;
        }
        let query = asked.queries.first()?.clone();
        let kind = match (query.query_class(), query.query_type()) {
            (DNSClass::IN | DNSClass::ANY, RecordType::A) => Kind::A,
            (DNSClass::IN | DNSClass::ANY, RecordType::SRV) => Kind::Srv,
            (DNSClass::IN | DNSClass::ANY, RecordType::PTR) => Kind::Ptr,
            (DNSClass::IN | DNSClass::ANY, RecordType::TXT) => Kind::Txt,
            (DNSClass::IN | DNSClass::ANY, RecordType::SOA) => Kind::Soa,
            (DNSClass::IN | DNSClass::ANY, RecordType::NS) => Kind::Ns,
            (DNSClass::IN | DNSClass::ANY, RecordType::ANY) => Kind::Any,
            _ => Kind::Other,
        };
        let name = query.name().to_lowercase().to_ascii();
        Some(Question { name: name.trim_end_matches('.').into(), kind, query, asked })
    }

    fn begin(&self, code: ResponseCode) -> Message {
        let asked = &self.asked.metadata;
        let mut reply = Message::response(asked.id, asked.op_code);
        reply.metadata.response_code = if asked.op_code == OpCode::Query { code } else { ResponseCode::NotImp };
        reply.metadata.recursion_desired = asked.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.add_query(self.query.clone());
        if self.asked.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(DATAGRAM_BYTES_MAX);
            reply.set_edns(edns);
        }
        reply
    }

    /// The reply that carries an answer of the cluster's own.
    pub(super) fn reply(&self, answer: &Answer) -> Message {
        let mut reply = self.begin(match answer {
            Answer::NoName => ResponseCode::NXDomain,
            Answer::NotOurs | Answer::NotReady => ResponseCode::ServFail,
            Answer::Records { .. } | Answer::Alias { .. } | Answer::Nothing => ResponseCode::NoError,
        });
        reply.metadata.authoritative = !matches!(answer, Answer::NotOurs | Answer::NotReady);
        match answer {
            Answer::Records { answers, additionals } => {
                // The client's resolver takes the first: whose turn it is differs from question to question.
                let turn = usize::from(self.asked.metadata.id) % answers.len().max(1);
                reply.add_answers(answers[turn..].iter().chain(&answers[..turn]).filter_map(record));
                reply.add_additionals(additionals.iter().filter_map(record));
            }
            Answer::Alias { record: alias, .. } => reply.answers.extend(record(alias)),
            Answer::NoName | Answer::Nothing => {
                reply.authorities.extend(record(&dns::Record { name: DOMAIN.into(), data: Data::Soa }));
            }
            Answer::NotOurs | Answer::NotReady => {}
        }
        reply
    }

    /// The reply for another name: that it is one, and what its target has.
    pub(super) fn alias(&self, alias: &dns::Record, of_target: Vec<Record>) -> Message {
        let mut reply = self.begin(ResponseCode::NoError);
        reply.metadata.authoritative = true;
        reply.answers.extend(record(alias));
        reply.add_answers(of_target);
        reply
    }

    /// The same question for the target of an alias.
    pub(super) fn for_target(&self, target: &str) -> Option<Vec<u8>> {
        let mut onward = Message::new(self.asked.metadata.id, MessageType::Query, OpCode::Query);
        onward.metadata.recursion_desired = true;
        onward.add_query(Query::query(name(target)?, self.query.query_type()));
        onward.to_vec().ok()
    }

    /// Nobody can say now; the client may ask again.
    pub(super) fn failed(&self) -> Vec<u8> {
        bytes(&self.begin(ResponseCode::ServFail), DATAGRAM_BYTES)
    }

    /// A reply as a datagram that the client takes; what does not fit is left out, and said to be.
    pub(super) fn fit(&self, reply: Message) -> Vec<u8> {
        let size = self.asked.edns.as_ref().map_or(DATAGRAM_BYTES, Edns::max_payload);
        bytes(&reply, size.clamp(DATAGRAM_BYTES, DATAGRAM_BYTES_MAX))
    }
}

pub(super) fn bytes(message: &Message, size: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(usize::from(DATAGRAM_BYTES));
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(size);
    match message.emit(&mut encoder) {
        Ok(()) => bytes,
        Err(error) => {
            tracing::debug!(%error, "a DNS reply could not be written");
            Vec::new()
        }
    }
}

/// The answers in a reply of another server.
pub(super) fn answers(bytes: &[u8]) -> Option<Vec<Record>> {
    Message::from_vec(bytes).ok().map(|message| message.answers)
}

fn name(text: &str) -> Option<Name> {
    Name::from_str(&format!("{text}.")).ok()
}

/// `None`: its name is none that can be said in DNS, such as one with a label that is too long.
fn record(record: &dns::Record) -> Option<Record> {
    let data = match &record.data {
        Data::A(ip) => RData::A(A(*ip)),
        Data::Cname(to) => RData::CNAME(CNAME(name(to)?)),
        Data::Ns(to) => RData::NS(NS(name(to)?)),
        Data::Ptr(to) => RData::PTR(PTR(name(to)?)),
        Data::Srv { weight, port, target } => RData::SRV(SRV::new(0, *weight, *port, name(target)?)),
        Data::Txt(text) => RData::TXT(TXT::new(vec![text.clone()])),
        // Nobody copies this zone, so its serial and intervals say nothing; the last figure is how long "no" may be kept.
        Data::Soa => {
            let (server, person) = (name(&format!("ns.dns.{DOMAIN}"))?, name(&format!("hostmaster.{DOMAIN}"))?);
            RData::SOA(SOA::new(server, person, 1, 7200, 1800, 86400, TTL_SECONDS))
        }
    };
    Some(Record::from_rdata(name(&record.name)?, TTL_SECONDS, data))
}
