-- A state as release 0.1.0 wrote it (schema 1), made by its code and dumped. It must stay readable for ever.
PRAGMA application_id = 1413631828;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE checkpoints (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
INSERT INTO "checkpoints" VALUES('risk','{"session": "2026-03-02"}');
CREATE TABLE fills (
        position        INTEGER PRIMARY KEY,
        client_order_id TEXT NOT NULL,
        sequence        INTEGER NOT NULL,
        symbol          TEXT NOT NULL,
        signed_qty      TEXT NOT NULL,
        price           TEXT NOT NULL,
        at              TEXT NOT NULL,
        reason          TEXT NOT NULL,
        UNIQUE (client_order_id, sequence)
    ) STRICT;
INSERT INTO "fills" VALUES(1,'tb-11111111-2222-3333-4444-555555555555-p-0-00000001',1,'AAPL','4','99.9','2026-03-02T14:30:00.000000+00:00','');
INSERT INTO "fills" VALUES(2,'tb-11111111-2222-3333-4444-555555555555-p-0-00000001',2,'AAPL','6','100','2026-03-02T14:30:00.000000+00:00','');
INSERT INTO "fills" VALUES(3,'',1,'AAPL','-1','101.5','2026-03-02T14:30:00.000000+00:00','quantity AAPL: ours 10, broker''s 9');
CREATE TABLE journal (
        seq        INTEGER PRIMARY KEY,
        at_machine TEXT NOT NULL,
        at_market  TEXT,
        kind       TEXT NOT NULL,
        detail     TEXT NOT NULL,
        changes    TEXT NOT NULL,
        prev_hash  TEXT NOT NULL,
        hash       TEXT NOT NULL UNIQUE
    ) STRICT;
INSERT INTO "journal" VALUES(1,'2026-11-21T09:00:00.000000+00:00','2026-03-02T14:30:00.000000+00:00','order_decided','{"client_order_id":"tb-11111111-2222-3333-4444-555555555555-p-0-00000001","reason":"target weight 0.2500"}','[["orders",{"arrival_price":"100","broker_id":null,"client_order_id":"tb-11111111-2222-3333-4444-555555555555-p-0-00000001","created_at":"2026-03-02T14:30:00.000000+00:00","filled_average_price":null,"filled_qty":"0","limit_price":"100","qty":"10","reason":"","reducing":0,"side":"buy","state":"journaled","symbol":"AAPL","time_in_force":"day","type":"limit"}]]','0000000000000000000000000000000000000000000000000000000000000000','1d1b0b603d03a8b1296c53dddc86d1be703bb013e6cc8cf03a3893a4d6316594');
INSERT INTO "journal" VALUES(2,'2026-11-21T09:00:00.000000+00:00','2026-03-02T14:30:00.000000+00:00','order_decided','{"client_order_id":"tb-11111111-2222-3333-4444-555555555555-p-0-00000002","reason":"target weight 0.2500"}','[["orders",{"arrival_price":"100","broker_id":null,"client_order_id":"tb-11111111-2222-3333-4444-555555555555-p-0-00000002","created_at":"2026-03-02T14:30:00.000000+00:00","filled_average_price":null,"filled_qty":"0","limit_price":null,"qty":"10","reason":"","reducing":0,"side":"buy","state":"journaled","symbol":"MSFT","time_in_force":"day","type":"market"}]]','1d1b0b603d03a8b1296c53dddc86d1be703bb013e6cc8cf03a3893a4d6316594','5d42d29649416a9735a34611a8d0f774669207bf6c3aafe1926cb1f95a9b12a0');
INSERT INTO "journal" VALUES(3,'2026-11-21T09:00:01.000000+00:00','2026-03-02T14:30:00.000000+00:00','order','{"client_order_id":"tb-11111111-2222-3333-4444-555555555555-p-0-00000001","source":"acknowledged","state":"new"}','[["orders",{"arrival_price":"100","broker_id":"broker-1","client_order_id":"tb-11111111-2222-3333-4444-555555555555-p-0-00000001","created_at":"2026-03-02T14:30:00.000000+00:00","filled_average_price":null,"filled_qty":"0","limit_price":"100","qty":"10","reason":"","reducing":0,"side":"buy","state":"new","symbol":"AAPL","time_in_force":"day","type":"limit"}]]','5d42d29649416a9735a34611a8d0f774669207bf6c3aafe1926cb1f95a9b12a0','f9d4098cdcdca3cbb78dfe81d848e5a04f6afec314005370f104d33148f510da');
INSERT INTO "journal" VALUES(4,'2026-11-21T09:00:02.000000+00:00','2026-03-02T14:31:00.000000+00:00','order','{"state":"partially_filled"}','[["orders",{"arrival_price":"100","broker_id":"broker-1","client_order_id":"tb-11111111-2222-3333-4444-555555555555-p-0-00000001","created_at":"2026-03-02T14:30:00.000000+00:00","filled_average_price":"99.9","filled_qty":"4","limit_price":"100","qty":"10","reason":"","reducing":0,"side":"buy","state":"partially_filled","symbol":"AAPL","time_in_force":"day","type":"limit"}],["fills",{"at":"2026-03-02T14:30:00.000000+00:00","client_order_id":"tb-11111111-2222-3333-4444-555555555555-p-0-00000001","price":"99.9","reason":"","sequence":1,"signed_qty":"4","symbol":"AAPL"}]]','f9d4098cdcdca3cbb78dfe81d848e5a04f6afec314005370f104d33148f510da','5f74e692f92307a111a8265b43666ba25f9d04d3743624e267d8a1bd0b3139ab');
INSERT INTO "journal" VALUES(5,'2026-11-21T09:00:03.000000+00:00','2026-03-02T14:32:00.000000+00:00','order','{"state":"filled"}','[["orders",{"arrival_price":"100","broker_id":"broker-1","client_order_id":"tb-11111111-2222-3333-4444-555555555555-p-0-00000001","created_at":"2026-03-02T14:30:00.000000+00:00","filled_average_price":"99.96","filled_qty":"10","limit_price":"100","qty":"10","reason":"","reducing":0,"side":"buy","state":"filled","symbol":"AAPL","time_in_force":"day","type":"limit"}],["fills",{"at":"2026-03-02T14:30:00.000000+00:00","client_order_id":"tb-11111111-2222-3333-4444-555555555555-p-0-00000001","price":"100","reason":"","sequence":2,"signed_qty":"6","symbol":"AAPL"}]]','5f74e692f92307a111a8265b43666ba25f9d04d3743624e267d8a1bd0b3139ab','bdfcf2ade94509a4a1e66dfadd63f12c21926337b9072738be47c238f3b5e51e');
INSERT INTO "journal" VALUES(6,'2026-11-21T09:00:04.000000+00:00','2026-03-02T14:33:00.000000+00:00','order','{"state":"in_doubt"}','[["orders",{"arrival_price":"100","broker_id":null,"client_order_id":"tb-11111111-2222-3333-4444-555555555555-p-0-00000002","created_at":"2026-03-02T14:30:00.000000+00:00","filled_average_price":null,"filled_qty":"0","limit_price":null,"qty":"10","reason":"","reducing":0,"side":"buy","state":"in_doubt","symbol":"MSFT","time_in_force":"day","type":"market"}]]','bdfcf2ade94509a4a1e66dfadd63f12c21926337b9072738be47c238f3b5e51e','eb00698803c79c89ea582e0b365ff3e1be092de73762c96d62c15dee397200ad');
INSERT INTO "journal" VALUES(7,'2026-11-21T09:00:04.000000+00:00','2026-03-02T14:33:00.000000+00:00','order_decided','{"client_order_id":"tb-11111111-2222-3333-4444-555555555555-p-0-00000003","reason":"target weight 0.2500"}','[["orders",{"arrival_price":"100","broker_id":null,"client_order_id":"tb-11111111-2222-3333-4444-555555555555-p-0-00000003","created_at":"2026-03-02T14:30:00.000000+00:00","filled_average_price":null,"filled_qty":"0","limit_price":"100","qty":"4","reason":"","reducing":1,"side":"sell","state":"journaled","symbol":"AAPL","time_in_force":"day","type":"limit"}]]','eb00698803c79c89ea582e0b365ff3e1be092de73762c96d62c15dee397200ad','0401bbbcfa076a39f7725a2526a586ae6dc8524f03cb4de7d2daeff0f1d17ec0');
INSERT INTO "journal" VALUES(8,'2026-11-21T09:00:05.000000+00:00',NULL,'risk','{}','[["checkpoints",{"document":"{\"session\": \"2026-03-02\"}","name":"risk"}]]','0401bbbcfa076a39f7725a2526a586ae6dc8524f03cb4de7d2daeff0f1d17ec0','b1572494fcbb4421572937bf53cbd583681f55a21c5cb0bea710fd66808ec89c');
INSERT INTO "journal" VALUES(9,'2026-11-21T09:00:06.000000+00:00','2026-03-02T14:34:00.000000+00:00','position_corrected','{"difference":"quantity AAPL"}','[["fills",{"at":"2026-03-02T14:30:00.000000+00:00","client_order_id":"","price":"101.5","reason":"quantity AAPL: ours 10, broker''s 9","sequence":1,"signed_qty":"-1","symbol":"AAPL"}]]','b1572494fcbb4421572937bf53cbd583681f55a21c5cb0bea710fd66808ec89c','09b4b36b9a06371f6a9af9b6cdcc9d7aca92aa4938f553a7d2689ae06941ebc7');
INSERT INTO "journal" VALUES(10,'2026-11-21T09:00:07.000000+00:00','2026-03-02T14:35:00.000000+00:00','kill','{"reason":"it''s enough"}','[["kill",{"flat_at":null,"flatten":0,"observed_at":"2026-11-21T09:00:07.000000+00:00","only_row":1,"open_orders":2,"open_positions":null,"orders_cancelled_at":null,"reason":"it''s enough","scope":"TradingBot"}]]','09b4b36b9a06371f6a9af9b6cdcc9d7aca92aa4938f553a7d2689ae06941ebc7','54deea64a55214b113c1a7fdbf643b6a773f7b1e98c1894ef2cb860e05dcf8b2');
CREATE TABLE kill (
        scope               TEXT NOT NULL,
        reason              TEXT NOT NULL,
        flatten             INTEGER NOT NULL,
        observed_at         TEXT NOT NULL,
        orders_cancelled_at TEXT,
        flat_at             TEXT,
        open_orders         INTEGER,
        open_positions      INTEGER,
        only_row            INTEGER PRIMARY KEY CHECK (only_row = 1)
    ) STRICT;
INSERT INTO "kill" VALUES('TradingBot','it''s enough',0,'2026-11-21T09:00:07.000000+00:00',NULL,NULL,2,NULL,1);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
INSERT INTO "meta" VALUES('bot_uid','11111111-2222-3333-4444-555555555555');
INSERT INTO "meta" VALUES('mode','paper');
INSERT INTO "meta" VALUES('tip','10 54deea64a55214b113c1a7fdbf643b6a773f7b1e98c1894ef2cb860e05dcf8b2');
CREATE TABLE orders (
        position             INTEGER PRIMARY KEY,
        client_order_id      TEXT NOT NULL UNIQUE,
        symbol               TEXT NOT NULL,
        side                 TEXT NOT NULL,
        type                 TEXT NOT NULL,
        qty                  TEXT NOT NULL,
        time_in_force        TEXT NOT NULL,
        state                TEXT NOT NULL,
        created_at           TEXT NOT NULL,
        limit_price          TEXT,
        arrival_price        TEXT,
        broker_id            TEXT,
        filled_qty           TEXT NOT NULL,
        filled_average_price TEXT,
        reason               TEXT NOT NULL,
        reducing             INTEGER NOT NULL
    ) STRICT;
INSERT INTO "orders" VALUES(1,'tb-11111111-2222-3333-4444-555555555555-p-0-00000001','AAPL','buy','limit','10','day','filled','2026-03-02T14:30:00.000000+00:00','100','100','broker-1','10','99.96','',0);
INSERT INTO "orders" VALUES(2,'tb-11111111-2222-3333-4444-555555555555-p-0-00000002','MSFT','buy','market','10','day','in_doubt','2026-03-02T14:30:00.000000+00:00',NULL,'100',NULL,'0',NULL,'',0);
INSERT INTO "orders" VALUES(3,'tb-11111111-2222-3333-4444-555555555555-p-0-00000003','AAPL','sell','limit','4','day','journaled','2026-03-02T14:30:00.000000+00:00','100','100',NULL,'0',NULL,'',1);
CREATE TRIGGER journal_keeps_its_lines BEFORE DELETE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_keeps_its_words BEFORE UPDATE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER fills_are_kept BEFORE DELETE ON fills
        BEGIN SELECT RAISE(ABORT, 'fills are append-only'); END;
CREATE TRIGGER fills_are_final BEFORE UPDATE ON fills
        BEGIN SELECT RAISE(ABORT, 'fills are append-only'); END;
COMMIT;
